package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Timestamp;
import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent.EventTypeCase;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class TimersTest extends ServerTest {
  /** How early a timer may be by the wall clock: a turn's time is the database's as a server knows it, a little late. */
  private static final Duration CLOCK_LAG = Duration.ofMillis(250);

  /** The milliseconds for which the timers of a history were set, in order; each has fired, and none was early. */
  private static List<Long> timers(List<HistoryEvent> history) {
    List<Long> timers = new ArrayList<>();
    for (HistoryEvent created : history) {
      if (created.hasTimerCreated()) {
        HistoryEvent fired = firing(history, created.getEventId());
        long due = millis(created.getTimerCreated().getFireAt());
        assertTrue(millis(fired.getTimestamp()) >= due, () -> fired + " came before " + created);
        timers.add(due - millis(created.getTimestamp()));
      }
    }
    return timers;
  }

  private static HistoryEvent firing(List<HistoryEvent> history, int timer) {
    return history.stream()
        .filter(event -> event.hasTimerFired() && event.getTimerFired().getTimerId() == timer)
        .findFirst()
        .orElseThrow();
  }

  /** As the SDK's clock has it. */
  private static long millis(Timestamp time) {
    return time.getSeconds() * 1000 + time.getNanos() / 1_000_000;
  }

  private static void assertTook(Duration least, OrchestrationMetadata state) {
    Duration took = Duration.between(state.getCreatedAt(), state.getLastUpdatedAt());
    assertTrue(took.plus(CLOCK_LAG).compareTo(least) >= 0, () -> least + " of timers took " + took);
  }

  @Test
  void c59_timers_are_never_early() throws Exception {
    Worker worker =
        worker()
            .orchestration(
                "Sleeping",
                ctx -> {
                  List<String> early = new ArrayList<>();
                  for (int millis : new int[] {0, 1, 200, 1000}) {
                    Instant due = ctx.getCurrentInstant().plusMillis(millis);
                    ctx.createTimer(Duration.ofMillis(millis)).await();
                    if (ctx.getCurrentInstant().isBefore(due)) {
                      early.add(millis + " ms");
                    }
                  }
                  ctx.complete(early);
                })
            .start();
    String id = client.scheduleNewOrchestrationInstance("Sleeping");
    assertEquals(0, output(id, String[].class).length);
    assertEquals(List.of(0L, 1L, 200L, 1000L), timers(worker.channels.tap.history(id)));
    assertTook(Duration.ofMillis(1201), client.getInstanceMetadata(id, false));
  }

  @Test
  void c60_timers_in_the_past_and_far_away() throws Exception {
    worker()
        .orchestration(
            "Patient",
            ctx -> {
              var far = ctx.createTimer(ctx.getCurrentInstant().atZone(ZoneOffset.UTC).plusYears(50));
              ctx.createTimer(ctx.getCurrentInstant().atZone(ZoneOffset.UTC).minusHours(1)).await();
              ctx.setCustomStatus("the past is over");
              far.await();
            })
        .start();
    String id = client.scheduleNewOrchestrationInstance("Patient");
    eventually(
        "the timer in the past has fired",
        () -> "the past is over".equals(client.getInstanceMetadata(id, true).readCustomStatusAs(String.class)));
    client.terminate(id, "waited long enough");
    OrchestrationMetadata state = end(id);
    assertEquals(OrchestrationRuntimeStatus.TERMINATED, state.getRuntimeStatus());
    assertEquals("waited long enough", state.readOutputAs(String.class));
  }

  /**
   * The SDK cuts a timer in pieces that is longer than its maximum. In this version only the end of the orchestration waits
   * for all pieces; code behind `await` would run after the first one.
   */
  @Test
  void a_timer_longer_than_the_maximum_interval() throws Exception {
    Worker worker =
        worker()
            .maximumTimerInterval(Duration.ofMillis(300))
            .orchestration("Long", ctx -> ctx.createTimer(Duration.ofMillis(1000)).await())
            .start();
    String id = client.scheduleNewOrchestrationInstance("Long");
    OrchestrationMetadata state = end(id);
    assertEquals(OrchestrationRuntimeStatus.COMPLETED, state.getRuntimeStatus());
    assertTook(Duration.ofMillis(1000), state);
    List<HistoryEvent> history = worker.channels.tap.history(id);
    int pieces = timers(history).size();
    assertTrue(pieces >= 2 && pieces <= 4, () -> pieces + " timers");
    assertEquals(pieces, worker.channels.tap.count(id, EventTypeCase.TIMERFIRED));
    Timestamp begun = history.stream().filter(HistoryEvent::hasTimerCreated).findFirst().orElseThrow().getTimestamp();
    long whole = millis(history.get(history.size() - 1).getTimestamp()) - millis(begun);
    assertTrue(whole >= 1000, () -> "the pieces come to " + whole + " ms");
  }

  @Test
  void c64_continue_as_new_with_zero_timers() throws Exception {
    worker()
        .orchestration(
            "Counting",
            ctx -> {
              int n = ctx.getInput(Integer.class);
              ctx.createTimer(Duration.ZERO).await();
              if (n < 200) {
                ctx.continueAsNew(n + 1);
              }
              ctx.complete(n);
            })
        .start();
    String id = client.scheduleNewOrchestrationInstance("Counting", 1);
    // C23: the wait goes on through all generations.
    assertEquals(200, output(id, Integer.class));
    assertEquals("200", client.getInstanceMetadata(id, true).getSerializedInput());
  }
}
