package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.microsoft.durabletask.NewOrchestrationInstanceOptions;
import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent;
import io.grpc.Status;
import org.junit.jupiter.api.Test;

class ControlTest extends ServerTest {
  @Test
  void c27_suspend_and_resume() throws Exception {
    Worker worker = worker().orchestration("Collect", EventsTest.COLLECT).start();
    String id = client.scheduleNewOrchestrationInstance("Collect", 2);
    reaches(id, OrchestrationRuntimeStatus.RUNNING);
    client.suspendInstance(id, "lunch");
    reaches(id, OrchestrationRuntimeStatus.SUSPENDED);
    client.raiseEvent(id, "Item", 1);
    client.raiseEvent(id, "Item", 2);
    eventually(
        "both events reached the worker",
        () ->
            worker.channels.tap.turns(id).stream()
                    .flatMap(turn -> turn.getNewEventsList().stream())
                    .filter(HistoryEvent::hasEventRaised)
                    .count()
                == 2);
    assertEquals(OrchestrationRuntimeStatus.SUSPENDED, status(id));
    client.resumeInstance(id, "back");
    assertArrayEquals(new int[] {1, 2}, output(id, int[].class));
    // What has ended stays as it is; what is unknown is told.
    client.suspendInstance(id);
    client.resumeInstance(id);
    assertEquals(OrchestrationRuntimeStatus.COMPLETED, status(id));
    refused(Status.Code.NOT_FOUND, () -> client.suspendInstance("nobody"));
    refused(Status.Code.NOT_FOUND, () -> client.resumeInstance("nobody"));
  }

  @Test
  void c27_suspend_before_the_start() throws Exception {
    String id = client.scheduleNewOrchestrationInstance("Collect", 1);
    client.suspendInstance(id);
    client.raiseEvent(id, "Item", 5);
    worker().orchestration("Collect", EventsTest.COLLECT).start();
    reaches(id, OrchestrationRuntimeStatus.SUSPENDED);
    client.resumeInstance(id);
    assertArrayEquals(new int[] {5}, output(id, int[].class));
  }

  @Test
  void c28_terminate_before_the_start_without_a_worker() throws Exception {
    String id = client.scheduleNewOrchestrationInstance("Nowhere");
    client.terminate(id, "never mind");
    OrchestrationMetadata state = end(id);
    assertEquals(OrchestrationRuntimeStatus.TERMINATED, state.getRuntimeStatus());
    assertEquals("never mind", state.readOutputAs(String.class));
    client.terminate(id, "again");
    client.terminate("nobody", null);
    assertEquals("never mind", end(id).readOutputAs(String.class));
  }

  @Test
  void c30_terminate_with_and_without_an_output() throws Exception {
    worker().orchestration("Collect", EventsTest.COLLECT).start();
    for (String output : new String[] {"stopped", null}) {
      String id = client.scheduleNewOrchestrationInstance("Collect", 1);
      reaches(id, OrchestrationRuntimeStatus.RUNNING);
      client.terminate(id, output);
      OrchestrationMetadata state = end(id);
      assertEquals(OrchestrationRuntimeStatus.TERMINATED, state.getRuntimeStatus());
      assertEquals(output, state.readOutputAs(String.class));
    }
  }

  @Test
  void c66_custom_status_set_and_cleared() throws Exception {
    worker()
        .orchestration(
            "Telling",
            ctx -> {
              ctx.setCustomStatus("first");
              ctx.waitForExternalEvent("Next").await();
              ctx.setCustomStatus("second");
              ctx.waitForExternalEvent("Next").await();
              ctx.clearCustomStatus();
              ctx.waitForExternalEvent("Next").await();
              ctx.setCustomStatus("ended");
              ctx.complete(null);
            })
        .start();
    String id = client.scheduleNewOrchestrationInstance("Telling");
    eventually("the first status", () -> "first".equals(customStatus(id)));
    client.raiseEvent(id, "Next");
    eventually("the second status", () -> "second".equals(customStatus(id)));
    client.raiseEvent(id, "Next");
    eventually("the status is cleared", () -> !client.getInstanceMetadata(id, true).isCustomStatusFetched());
    assertEquals(OrchestrationRuntimeStatus.RUNNING, status(id));
    client.raiseEvent(id, "Next");
    end(id);
    assertEquals("ended", customStatus(id));
    assertFalse(client.getInstanceMetadata(id, false).isCustomStatusFetched());
  }

  private String customStatus(String id) {
    return client.getInstanceMetadata(id, true).readCustomStatusAs(String.class);
  }

  /** This SDK restarts by reading an instance and starting it again. */
  @Test
  void c73_restart_with_the_same_and_with_a_new_id() throws Exception {
    worker().orchestration("Collect", EventsTest.COLLECT).start();
    NewOrchestrationInstanceOptions options = new NewOrchestrationInstanceOptions().setInstanceId("java-restarted").setInput(1);
    String id = client.scheduleNewOrchestrationInstance("Collect", options);
    reaches(id, OrchestrationRuntimeStatus.RUNNING);
    refused(Status.Code.ALREADY_EXISTS, () -> client.restartInstance(id, false));
    String beside = client.restartInstance(id, true);
    client.raiseEvent(beside, "Item", 2);
    assertArrayEquals(new int[] {2}, output(beside, int[].class));
    client.raiseEvent(id, "Item", 1);
    assertArrayEquals(new int[] {1}, output(id, int[].class));

    var before = client.getInstanceMetadata(id, true);
    assertEquals(id, client.restartInstance(id, false));
    client.raiseEvent(id, "Item", 3);
    assertArrayEquals(new int[] {3}, output(id, int[].class));
    var after = client.getInstanceMetadata(id, true);
    assertEquals(before.getSerializedInput(), after.getSerializedInput());
    assertTrue(after.getCreatedAt().isAfter(before.getCreatedAt()));
    assertThrows(IllegalArgumentException.class, () -> client.restartInstance("nobody", true));
  }
}
