package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.TaskCanceledException;
import com.microsoft.durabletask.TaskOrchestration;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent.EventTypeCase;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class EventsTest extends ServerTest {
  /** Waits for as many events as the input says and returns what they brought. */
  static final TaskOrchestration COLLECT =
      ctx -> {
        List<Integer> got = new ArrayList<>();
        int count = ctx.getInput(Integer.class);
        while (got.size() < count) {
          got.add(ctx.waitForExternalEvent("Item", Integer.class).await());
        }
        ctx.complete(got);
      };

  @Test
  void to_a_running_instance() throws Exception {
    worker().orchestration("Collect", COLLECT).start();
    String id = client.scheduleNewOrchestrationInstance("Collect", 3);
    reaches(id, OrchestrationRuntimeStatus.RUNNING);
    for (int i = 1; i <= 3; i++) {
      client.raiseEvent(id, "Item", i);
    }
    assertArrayEquals(new int[] {1, 2, 3}, output(id, int[].class));
  }

  /** This version ignores the case of a name only for events that came before somebody waited for them. */
  @Test
  void c24_c25_before_the_start_in_order_and_in_any_case() throws Exception {
    String id = client.scheduleNewOrchestrationInstance("Collect", 40);
    String[] spellings = {"item", "ITEM", "Item", "iTeM"};
    for (int i = 0; i < 40; i++) {
      client.raiseEvent(id, spellings[i % 4], i);
    }
    Worker worker =
        worker()
            .orchestration(
                "Collect",
                ctx -> {
                  ctx.createTimer(Duration.ZERO).await();
                  COLLECT.run(ctx);
                })
            .start();
    assertArrayEquals(IntStream.range(0, 40).toArray(), output(id, int[].class));
    var first = worker.channels.tap.turns(id).get(0).getNewEventsList();
    assertEquals(EventTypeCase.ORCHESTRATORSTARTED, first.get(0).getEventTypeCase());
    assertEquals(EventTypeCase.EXECUTIONSTARTED, first.get(1).getEventTypeCase());
    assertEquals("item", first.get(2).getEventRaised().getName());
    assertEquals("ITEM", first.get(3).getEventRaised().getName());
  }

  @Test
  void c26_to_unknown_and_finished_instances() throws Exception {
    worker().orchestration("Collect", COLLECT).start();
    refused(Status.Code.NOT_FOUND, () -> client.raiseEvent("nobody", "Item", 1));
    String id = client.scheduleNewOrchestrationInstance("Collect", 0);
    assertEquals(0, output(id, int[].class).length);
    client.raiseEvent(id, "Item", 1);
    assertEquals(0, output(id, int[].class).length);
  }

  @Test
  void an_event_that_does_not_come() throws Exception {
    worker()
        .orchestration(
            "Waiting",
            ctx -> {
              int canceled = 0;
              for (Duration timeout : List.of(Duration.ZERO, Duration.ofMillis(100))) {
                try {
                  ctx.waitForExternalEvent("Never", timeout, String.class).await();
                } catch (TaskCanceledException error) {
                  canceled++;
                }
              }
              ctx.complete(canceled);
            })
        .start();
    assertEquals(2, output(client.scheduleNewOrchestrationInstance("Waiting"), Integer.class));
  }

  @Test
  void events_without_a_payload() throws Exception {
    worker()
        .orchestration(
            "Plain",
            ctx -> {
              ctx.waitForExternalEvent("Go").await();
              ctx.complete("went");
            })
        .start();
    String id = client.scheduleNewOrchestrationInstance("Plain");
    client.raiseEvent(id, "Go");
    assertEquals("went", output(id, String.class));
  }

  /** This version sends an event again whenever it replays it, so that the test's sender ends in the turn in which it sends. */
  @Test
  void c61_events_from_one_orchestration_to_another() throws Exception {
    worker()
        .orchestration("Collect", COLLECT)
        .orchestration(
            "Telling",
            ctx -> {
              String[] to = ctx.getInput(String[].class);
              for (int i = 0; i < to.length; i++) {
                ctx.sendEvent(to[i], "Item", i);
              }
              ctx.complete("told");
            })
        .start();
    String receiver = client.scheduleNewOrchestrationInstance("Collect", 2);
    String ended = client.scheduleNewOrchestrationInstance("Collect", 0);
    output(ended, int[].class);
    // What is missing or has ended is passed over.
    String sender = client.scheduleNewOrchestrationInstance("Telling", new String[] {"nobody", receiver, ended, receiver});
    assertEquals("told", output(sender, String.class));
    assertArrayEquals(new int[] {1, 3}, output(receiver, int[].class));
  }

  @Test
  void c64_continue_as_new_keeps_or_drops_what_was_not_consumed() throws Exception {
    worker()
        .orchestration(
            "Summing",
            ctx -> {
              int[] seen = ctx.getInput(int[].class);
              boolean keep = seen[0] == 1;
              int next = ctx.waitForExternalEvent("Item", Integer.class).await();
              int[] more = IntStream.concat(IntStream.of(seen), IntStream.of(next)).toArray();
              if (more.length < 4) {
                ctx.continueAsNew(more, keep);
              }
              ctx.complete(more);
            })
        .start();
    for (int keep = 0; keep <= 1; keep++) {
      String id = client.scheduleNewOrchestrationInstance("Summing", new int[] {keep});
      for (int i = 0; i < 3; i++) {
        client.raiseEvent(id, "Item", 7);
      }
      if (keep == 0) {
        // Dropped is what one generation had received and not used; how much that was depends on the timing.
        eventually(
            "enough events came",
            () -> {
              client.raiseEvent(id, "Item", 7);
              return status(id) == OrchestrationRuntimeStatus.COMPLETED;
            });
      }
      assertArrayEquals(new int[] {keep, 7, 7, 7}, output(id, int[].class));
    }
  }
}
