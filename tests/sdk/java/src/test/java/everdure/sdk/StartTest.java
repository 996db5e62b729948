package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.StringValue;
import com.microsoft.durabletask.NewOrchestrationInstanceOptions;
import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.CreateInstanceRequest;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.ExecutionStartedEvent;
import com.microsoft.durabletask.implementation.protobuf.TaskHubSidecarServiceGrpc;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.Test;

class StartTest extends ServerTest {
  private static NewOrchestrationInstanceOptions options(String id) {
    return new NewOrchestrationInstanceOptions().setInstanceId(id);
  }

  @Test
  void c06_an_empty_id_is_filled_in() {
    var stub = TaskHubSidecarServiceGrpc.newBlockingStub(channels.channel);
    String id = stub.startInstance(CreateInstanceRequest.newBuilder().setName("Nowhere").build()).getInstanceId();
    assertFalse(id.isEmpty());
    assertEquals(OrchestrationRuntimeStatus.PENDING, status(id));
  }

  @Test
  void c07_ids_that_are_refused() {
    var error = refused(Status.Code.INVALID_ARGUMENT, () -> client.scheduleNewOrchestrationInstance("X", options("x".repeat(101))));
    assertTrue(error.getMessage().contains("length"), error::getMessage);
    refused(Status.Code.INVALID_ARGUMENT, () -> client.scheduleNewOrchestrationInstance("X", options("@counter@one")));
  }

  @Test
  void c08_c09_duplicates() throws Exception {
    String id = client.scheduleNewOrchestrationInstance("Now", options("java-same").setInput("first"));
    var error = refused(Status.Code.ALREADY_EXISTS, () -> client.scheduleNewOrchestrationInstance("Now", options(id)));
    assertTrue(error.getMessage().contains("orchestration instance already exists"), error::getMessage);
    worker().orchestration("Now", ctx -> ctx.complete(ctx.getInput(String.class))).start();
    assertEquals("first", output(id, String.class));
    Instant created = client.getInstanceMetadata(id, false).getCreatedAt();
    client.scheduleNewOrchestrationInstance("Now", options(id).setInput("second"));
    assertEquals("second", output(id, String.class));
    assertTrue(client.getInstanceMetadata(id, false).getCreatedAt().isAfter(created));
  }

  @Test
  void c13_a_scheduled_start() throws Exception {
    worker().orchestration("Punctual", ctx -> ctx.complete(ctx.getCurrentInstant().toString())).start();
    Instant due = Instant.now().plusMillis(1500);
    String id = client.scheduleNewOrchestrationInstance("Punctual", options("java-punctual").setStartTime(due));
    OrchestrationRuntimeStatus before = status(id);
    assertTrue(before == OrchestrationRuntimeStatus.PENDING || !Instant.now().isBefore(due), () -> before + " before its time");
    Instant ran = Instant.parse(output(id, String.class));
    // The SDK's clock has milliseconds.
    assertFalse(ran.isBefore(due.truncatedTo(ChronoUnit.MILLIS)), () -> "due at " + due + ", ran at " + ran);
    Instant past = Instant.now().minusSeconds(3600);
    output(client.scheduleNewOrchestrationInstance("Punctual", options("java-late").setStartTime(past)), String.class);
  }

  @Test
  void c14_versions_and_inputs_that_are_empty_or_not_there() throws Exception {
    Worker worker = worker().orchestration("Noting", ctx -> ctx.complete(null)).start();
    String[] versions = {null, "", "2.1"};
    for (int i = 0; i < versions.length; i++) {
      String id = client.scheduleNewOrchestrationInstance("Noting", options("java-version-" + i).setVersion(versions[i]));
      end(id);
      ExecutionStartedEvent begun = worker.channels.tap.turns(id).get(0).getNewEvents(1).getExecutionStarted();
      assertEquals(versions[i] != null, begun.hasVersion());
      assertEquals(versions[i] == null ? "" : versions[i], begun.getVersion().getValue());
      assertFalse(begun.hasInput());
    }
    var stub = TaskHubSidecarServiceGrpc.newBlockingStub(channels.channel);
    var empty = CreateInstanceRequest.newBuilder().setName("Noting").setInstanceId("java-empty-input").setInput(StringValue.of(""));
    stub.startInstance(empty.build());
    end("java-empty-input");
    assertTrue(worker.channels.tap.turns("java-empty-input").get(0).getNewEvents(1).getExecutionStarted().hasInput());
  }

  @Test
  void c16_c17_states() throws Exception {
    assertFalse(client.getInstanceMetadata("nobody", true).isInstanceFound());
    worker()
        .orchestration(
            "Telling",
            ctx -> {
              ctx.setCustomStatus("told");
              ctx.complete("the output");
            })
        .start();
    String id = client.scheduleNewOrchestrationInstance("Telling", "the input");
    assertEquals("the output", output(id, String.class));
    OrchestrationMetadata full = client.getInstanceMetadata(id, true);
    assertEquals("the input", full.readInputAs(String.class));
    assertEquals("told", full.readCustomStatusAs(String.class));
    assertTrue(full.isCompleted());
    assertEquals("", full.getFailureDetails().getErrorType());
    OrchestrationMetadata bare = client.getInstanceMetadata(id, false);
    assertEquals(OrchestrationRuntimeStatus.COMPLETED, bare.getRuntimeStatus());
    assertEquals("", bare.getSerializedInput() + bare.getSerializedOutput());
    assertFalse(bare.isCustomStatusFetched());
    assertEquals(full.getLastUpdatedAt(), bare.getLastUpdatedAt());
  }

  @Test
  void c19_c20_c22_waiting_for_the_start() throws Exception {
    CountDownLatch entered = new CountDownLatch(1);
    CountDownLatch release = new CountDownLatch(1);
    worker()
        .orchestration(
            "Slow",
            ctx -> {
              entered.countDown();
              await(release);
              ctx.complete("done");
            })
        .start();
    String id = client.scheduleNewOrchestrationInstance("Slow");
    await(entered);
    // The turn is under way, and still the instance has not started.
    assertThrows(TimeoutException.class, () -> client.waitForInstanceStart(id, Duration.ofMillis(500)));
    assertThrows(TimeoutException.class, () -> client.waitForInstanceCompletion(id, Duration.ofMillis(100), false));
    assertEquals(OrchestrationRuntimeStatus.PENDING, status(id));
    release.countDown();
    assertEquals("done", output(id, String.class));
    assertEquals(OrchestrationRuntimeStatus.COMPLETED, client.waitForInstanceStart(id, PATIENCE).getRuntimeStatus());
  }

  @Test
  void c18_times_of_an_instance() throws Exception {
    worker().orchestration("Collect", EventsTest.COLLECT).start();
    String id = client.scheduleNewOrchestrationInstance("Collect", 1);
    OrchestrationMetadata running = client.waitForInstanceStart(id, PATIENCE, true);
    assertTrue(running.isRunning());
    assertFalse(running.getLastUpdatedAt().isBefore(running.getCreatedAt()));
    assertNull(running.readOutputAs(String.class));
    client.raiseEvent(id, "Item", 1);
    OrchestrationMetadata ended = end(id);
    assertEquals(running.getCreatedAt(), ended.getCreatedAt());
    assertTrue(ended.getLastUpdatedAt().isAfter(running.getLastUpdatedAt()));
  }

  private static void await(CountDownLatch latch) {
    try {
      assertTrue(latch.await(PATIENCE.toSeconds(), TimeUnit.SECONDS), "the signal came");
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }
}
