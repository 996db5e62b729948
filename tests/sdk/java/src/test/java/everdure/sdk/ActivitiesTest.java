package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.microsoft.durabletask.CompositeTaskFailedException;
import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.RetryPolicy;
import com.microsoft.durabletask.Task;
import com.microsoft.durabletask.TaskFailedException;
import com.microsoft.durabletask.TaskOptions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class ActivitiesTest extends ServerTest {
  @Test
  void sequence() throws Exception {
    worker()
        .orchestration(
            "Sequence",
            ctx -> {
              List<String> greetings = new ArrayList<>();
              for (String city : ctx.getInput(String[].class)) {
                greetings.add(ctx.callActivity("Greet", city, String.class).await());
              }
              ctx.complete(greetings);
            })
        .activity("Greet", ctx -> "Hello, " + ctx.getInput(String.class) + "!")
        .start();
    String id = client.scheduleNewOrchestrationInstance("Sequence", new String[] {"Tokyo", "Łódź"});
    assertArrayEquals(new String[] {"Hello, Tokyo!", "Hello, Łódź!"}, output(id, String[].class));
    OrchestrationMetadata state = client.getInstanceMetadata(id, true);
    assertEquals("Sequence", state.getName());
    assertEquals("[\"Tokyo\",\"Łódź\"]", state.getSerializedInput());
  }

  @Test
  void c63_fan_out_of_a_thousand_activities() throws Exception {
    AtomicInteger ran = new AtomicInteger();
    worker()
        .orchestration(
            "FanOut",
            ctx -> {
              List<Task<Integer>> tasks = new ArrayList<>();
              for (int i = 0; i < 1000; i++) {
                tasks.add(ctx.callActivity("Double", i, Integer.class));
              }
              ctx.complete(ctx.allOf(tasks).await().stream().mapToInt(Integer::intValue).sum());
            })
        .activity(
            "Double",
            ctx -> {
              ran.incrementAndGet();
              return 2 * ctx.getInput(Integer.class);
            })
        .start();
    assertEquals(999_000, output(client.scheduleNewOrchestrationInstance("FanOut"), Integer.class));
    assertEquals(1000, ran.get());
  }

  @Test
  void the_first_of_several() throws Exception {
    worker()
        .orchestration(
            "Race",
            ctx -> {
              Task<Void> slow = ctx.createTimer(Duration.ofHours(1));
              Task<String> fast = ctx.callActivity("Fast", String.class);
              Task<?> first = ctx.anyOf(slow, fast).await();
              ctx.complete(first == fast ? fast.await() : "the timer");
            })
        .activity("Fast", ctx -> "the activity")
        .start();
    assertEquals("the activity", output(client.scheduleNewOrchestrationInstance("Race"), String.class));
  }

  @Test
  void retry_policy() throws Exception {
    AtomicInteger attempts = new AtomicInteger();
    RetryPolicy policy = new RetryPolicy(5, Duration.ofMillis(10)).setBackoffCoefficient(2);
    worker()
        .orchestration("Retrying", ctx -> ctx.complete(ctx.callActivity("Flaky", null, new TaskOptions(policy), Integer.class).await()))
        .activity(
            "Flaky",
            ctx -> {
              if (attempts.incrementAndGet() < 3) {
                throw new IllegalStateException("attempt " + attempts);
              }
              return attempts.get();
            })
        .start();
    assertEquals(3, output(client.scheduleNewOrchestrationInstance("Retrying"), Integer.class));
    assertEquals(3, attempts.get());
  }

  @Test
  void retries_end_with_the_last_failure() throws Exception {
    AtomicInteger attempts = new AtomicInteger();
    RetryPolicy policy = new RetryPolicy(3, Duration.ofMillis(1));
    worker()
        .orchestration("Hopeless", ctx -> ctx.callActivity("Broken", null, new TaskOptions(policy)).await())
        .activity(
            "Broken",
            ctx -> {
              throw new IllegalStateException("broken for the " + attempts.incrementAndGet() + ". time");
            })
        .start();
    OrchestrationMetadata state = end(client.scheduleNewOrchestrationInstance("Hopeless"));
    assertEquals(OrchestrationRuntimeStatus.FAILED, state.getRuntimeStatus());
    assertEquals(3, attempts.get());
    assertTrue(state.getFailureDetails().getErrorMessage().contains("broken for the 3. time"), state::toString);
  }

  @Test
  void retry_handler() throws Exception {
    AtomicInteger attempts = new AtomicInteger();
    worker()
        .orchestration(
            "Handled",
            ctx -> {
              TaskOptions options =
                  new TaskOptions(
                      retry -> {
                        // The handler waits by itself, durably.
                        ctx.createTimer(Duration.ofMillis(5)).await();
                        return retry.getLastFailure().isCausedBy(IllegalStateException.class)
                            && retry.getLastAttemptNumber() < 4;
                      });
              try {
                ctx.callActivity("Broken", null, options).await();
                ctx.complete("no failure");
              } catch (TaskFailedException error) {
                ctx.complete(error.getErrorDetails().getErrorMessage());
              }
            })
        .activity(
            "Broken",
            ctx -> {
              throw new IllegalStateException("attempt " + attempts.incrementAndGet());
            })
        .start();
    assertEquals("attempt 4", output(client.scheduleNewOrchestrationInstance("Handled"), String.class));
  }

  @Test
  void c55_failure_details_of_an_activity() throws Exception {
    worker()
        .orchestration(
            "Catching",
            ctx -> {
              try {
                ctx.callActivity("Broken").await();
                ctx.complete("no failure");
              } catch (TaskFailedException error) {
                var details = error.getErrorDetails();
                ctx.complete(
                    String.join("|", error.getTaskName(), details.getErrorType(), details.getErrorMessage(),
                        String.valueOf(details.getStackTrace().contains("ActivitiesTest")), String.valueOf(details.isNonRetriable())));
              }
            })
        .activity(
            "Broken",
            ctx -> {
              throw new IllegalArgumentException("no \"stock\"");
            })
        .start();
    assertEquals(
        "Broken|java.lang.IllegalArgumentException|no \"stock\"|true|false",
        output(client.scheduleNewOrchestrationInstance("Catching"), String.class));
  }

  @Test
  void failures_of_several_at_once() throws Exception {
    worker()
        .orchestration(
            "Several",
            ctx -> {
              List<Task<Integer>> tasks = new ArrayList<>();
              for (int i = 0; i < 10; i++) {
                tasks.add(ctx.callActivity("Odd", i, Integer.class));
              }
              try {
                ctx.allOf(tasks).await();
                ctx.complete(-1);
              } catch (CompositeTaskFailedException error) {
                ctx.complete(error.getExceptions().size());
              }
            })
        .activity(
            "Odd",
            ctx -> {
              if (ctx.getInput(Integer.class) % 2 == 1) {
                throw new IllegalStateException("odd");
              }
              return 0;
            })
        .start();
    assertEquals(5, output(client.scheduleNewOrchestrationInstance("Several"), Integer.class));
  }

  @Test
  void an_orchestration_that_throws() throws Exception {
    worker()
        .orchestration(
            "Throwing",
            ctx -> {
              throw new UnsupportedOperationException("not today");
            })
        .start();
    OrchestrationMetadata state = end(client.scheduleNewOrchestrationInstance("Throwing"));
    assertEquals(OrchestrationRuntimeStatus.FAILED, state.getRuntimeStatus());
    assertEquals("java.lang.UnsupportedOperationException", state.getFailureDetails().getErrorType());
    assertEquals("not today", state.getFailureDetails().getErrorMessage());
    assertTrue(state.getFailureDetails().isCausedBy(RuntimeException.class));
  }
}
