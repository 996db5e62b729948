package everdure.sdk;

import java.time.Duration;
import java.util.function.IntConsumer;

/** An orchestration of twenty steps, for the tests that kill something on the way. */
final class March {
  static final int STEPS = 20;

  /** What it ends with. */
  static final int SUM = STEPS * (STEPS + 1) / 2;

  private March() {}

  /** What the steps do is told to `ran`. */
  static Worker on(Worker worker, IntConsumer ran) {
    return worker
        .orchestration(
            "March",
            ctx -> {
              int sum = 0;
              for (int step = 1; step <= STEPS; step++) {
                sum += ctx.callActivity("Step", step, Integer.class).await();
                ctx.createTimer(Duration.ofMillis(1)).await();
              }
              ctx.complete(sum);
            })
        .activity(
            "Step",
            ctx -> {
              int step = ctx.getInput(Integer.class);
              ran.accept(step);
              return step;
            });
  }

  /** A worker in a process of its own: it says which steps it runs, and stays in step 7 until it is killed. */
  public static void main(String[] arguments) throws InterruptedException {
    on(
            new Worker(Channels.ADDRESS, arguments[0]),
            step -> {
              System.out.println("step " + step);
              while (step == 7) {
                sleep();
              }
            })
        .start();
    Thread.currentThread().join();
  }

  private static void sleep() {
    try {
      Thread.sleep(60_000);
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }
}
