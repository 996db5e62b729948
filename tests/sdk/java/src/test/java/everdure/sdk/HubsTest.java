package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.microsoft.durabletask.DurableTaskClient;
import com.microsoft.durabletask.DurableTaskGrpcClientBuilder;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.util.List;
import org.junit.jupiter.api.Test;

class HubsTest extends ServerTest {
  private DurableTaskClient clientOf(String hub) {
    return new DurableTaskGrpcClientBuilder().grpcChannel(closing(new Channels(Channels.ADDRESS, hub)).channel).build();
  }

  /** The plain SDK, without the header: the hub `default`. */
  @Test
  void c01_without_a_header() throws Exception {
    ManagedChannel plain = ManagedChannelBuilder.forTarget(Channels.ADDRESS).usePlaintext().build();
    closing(plain::shutdownNow);
    DurableTaskClient headless = new DurableTaskGrpcClientBuilder().grpcChannel(plain).build();
    closing(new Worker(Channels.ADDRESS, "default")).orchestration("Where", ctx -> ctx.complete("default")).start();
    String id = headless.scheduleNewOrchestrationInstance("Where");
    assertEquals("default", headless.waitForInstanceCompletion(id, PATIENCE, true).readOutputAs(String.class));
    assertTrue(clientOf("default").getInstanceMetadata(id, false).isInstanceFound());
    assertFalse(client.getInstanceMetadata(id, false).isInstanceFound());
  }

  @Test
  void c91_hubs_are_apart() throws Exception {
    List<String> hubs = List.of(HUB + "-left", HUB + "-right");
    for (String hub : hubs) {
      closing(new Worker(Channels.ADDRESS, hub))
          .orchestration("Where", ctx -> ctx.complete(ctx.callActivity("Here", String.class).await()))
          .activity("Here", ctx -> hub)
          .start();
      clientOf(hub).scheduleNewOrchestrationInstance("Where", null, "twin");
    }
    for (String hub : hubs) {
      assertEquals(hub, clientOf(hub).waitForInstanceCompletion("twin", PATIENCE, true).readOutputAs(String.class));
    }
    assertEquals(1, clientOf(hubs.get(0)).purgeInstance("twin").getDeletedInstanceCount());
    assertTrue(clientOf(hubs.get(1)).getInstanceMetadata("twin", false).isInstanceFound());
  }

  @Test
  void c76_making_and_deleting_hubs() {
    DurableTaskClient own = clientOf(HUB + "-made");
    own.createTaskHub(false);
    String id = own.scheduleNewOrchestrationInstance("Nowhere");
    own.createTaskHub(false);
    assertEquals(OrchestrationRuntimeStatus.PENDING, own.getInstanceMetadata(id, false).getRuntimeStatus());
    own.createTaskHub(true);
    assertFalse(own.getInstanceMetadata(id, false).isInstanceFound());
    own.deleteTaskHub();
    own.deleteTaskHub();
  }
}
