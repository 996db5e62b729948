package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent.EventTypeCase;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.OrchestratorRequest;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.OrchestratorResponse;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.RewindInstanceRequest;
import com.microsoft.durabletask.implementation.protobuf.TaskHubSidecarServiceGrpc;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class WireTest extends ServerTest {
  private static final Set<EventTypeCase> NEVER_SENT =
      EnumSet.of(
          EventTypeCase.ORCHESTRATORCOMPLETED,
          EventTypeCase.EXECUTIONCOMPLETED,
          EventTypeCase.GENERICEVENT,
          EventTypeCase.HISTORYSTATE,
          EventTypeCase.CONTINUEASNEW,
          EventTypeCase.EVENTTYPE_NOT_SET);

  private Worker oneOfEach() {
    return worker()
        .orchestration(
            "OneOfEach",
            ctx -> {
              int generation = ctx.getInput(Integer.class);
              ctx.callActivity("Nothing").await();
              ctx.createTimer(Duration.ofMillis(1)).await();
              ctx.callSubOrchestrator("Child", null, Void.class).await();
              if (generation == 1) {
                ctx.continueAsNew(2);
              }
              ctx.waitForExternalEvent("End").await();
            })
        .orchestration("Child", ctx -> ctx.complete(null))
        .activity("Nothing", ctx -> null)
        .start();
  }

  @Test
  void c31_c32_c33_c34_c50_what_a_worker_is_given() throws Exception {
    Worker worker = oneOfEach();
    String id = client.scheduleNewOrchestrationInstance("OneOfEach", 1);
    eventually("the second generation waits", () -> worker.channels.tap.turns(id).size() >= 8);
    client.raiseEvent(id, "End");
    output(id, Void.class);
    Set<String> executions = new HashSet<>();
    List<HistoryEvent> known = List.of();
    for (OrchestratorRequest turn : worker.channels.tap.turns(id)) {
      assertTrue(turn.getExecutionId().getValue().matches("[0-9a-f]{32}"), turn::toString);
      List<HistoryEvent> fresh = turn.getNewEventsList();
      if (executions.add(turn.getExecutionId().getValue())) {
        known = List.of();
        assertTrue(fresh.get(1).hasExecutionStarted(), turn::toString);
      }
      assertTrue(fresh.get(0).hasOrchestratorStarted(), turn::toString);
      assertTrue(fresh.stream().allMatch(event -> event.getEventId() == -1), turn::toString);
      List<HistoryEvent> all = Stream.concat(turn.getPastEventsList().stream(), fresh.stream()).toList();
      assertTrue(all.stream().noneMatch(event -> NEVER_SENT.contains(event.getEventTypeCase())), turn::toString);
      assertTrue(all.stream().allMatch(HistoryEvent::hasTimestamp), turn::toString);
      // What was new is past now, byte for byte.
      assertEquals(known, turn.getPastEventsList().subList(0, known.size()));
      known = new ArrayList<>(all);
    }
    assertEquals(2, executions.size());
  }

  @Test
  void c49_c51_the_history_of_an_activity_a_timer_and_a_child() throws Exception {
    Worker worker = oneOfEach();
    String id = client.scheduleNewOrchestrationInstance("OneOfEach", 2);
    eventually("the instance waits", () -> worker.channels.tap.turns(id).size() >= 4);
    client.raiseEvent(id, "End");
    output(id, Void.class);
    assertEquals(
        List.of(
            EventTypeCase.ORCHESTRATORSTARTED, EventTypeCase.EXECUTIONSTARTED, EventTypeCase.TASKSCHEDULED,
            EventTypeCase.ORCHESTRATORSTARTED, EventTypeCase.TASKCOMPLETED, EventTypeCase.TIMERCREATED,
            EventTypeCase.ORCHESTRATORSTARTED, EventTypeCase.TIMERFIRED, EventTypeCase.SUBORCHESTRATIONINSTANCECREATED,
            EventTypeCase.ORCHESTRATORSTARTED, EventTypeCase.SUBORCHESTRATIONINSTANCECOMPLETED,
            EventTypeCase.ORCHESTRATORSTARTED, EventTypeCase.EVENTRAISED),
        worker.channels.tap.history(id).stream().map(HistoryEvent::getEventTypeCase).toList());
    assertEquals(
        List.of(0, 1, 2),
        worker.channels.tap.history(id).stream().map(HistoryEvent::getEventId).filter(number -> number >= 0).toList());
  }

  /** This version of the SDK knows no tokens, like the Go SDK. */
  @Test
  void c43_completions_without_a_token() throws Exception {
    assertNull(OrchestratorResponse.getDescriptor().findFieldByName("completionToken"));
    worker()
        .orchestration("Asking", ctx -> ctx.complete(ctx.callActivity("Echo", ctx.getInput(Integer.class), Integer.class).await()))
        .activity("Echo", ctx -> ctx.getInput(Integer.class))
        .start();
    List<String> ids = new ArrayList<>();
    for (int i = 0; i < 50; i++) {
      ids.add(client.scheduleNewOrchestrationInstance("Asking", i));
    }
    for (int i = 0; i < 50; i++) {
      assertEquals(i, output(ids.get(i), Integer.class));
    }
  }

  /** The SDK has no call for it, only the message. Its worker must not see what it does not know. */
  @Test
  void c74_rewind() throws Exception {
    AtomicInteger attempts = new AtomicInteger();
    worker()
        .orchestration("Fragile", ctx -> ctx.complete(ctx.callActivity("Breaking", Integer.class).await()))
        .activity(
            "Breaking",
            ctx -> {
              if (attempts.incrementAndGet() < 3) {
                throw new IllegalStateException("attempt " + attempts);
              }
              return attempts.get();
            })
        .start();
    String id = client.scheduleNewOrchestrationInstance("Fragile");
    assertEquals(OrchestrationRuntimeStatus.FAILED, end(id).getRuntimeStatus());
    rewind(id);
    assertEquals(OrchestrationRuntimeStatus.FAILED, end(id).getRuntimeStatus());
    rewind(id);
    assertEquals(3, output(id, Integer.class));
    refused(Status.Code.FAILED_PRECONDITION, () -> rewind(id));
    refused(Status.Code.NOT_FOUND, () -> rewind("nobody"));
  }

  private void rewind(String id) {
    TaskHubSidecarServiceGrpc.newBlockingStub(channels.channel)
        .rewindInstance(RewindInstanceRequest.newBuilder().setInstanceId(id).build());
  }
}
