package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.microsoft.durabletask.DurableTaskClient;
import com.microsoft.durabletask.DurableTaskGrpcClientBuilder;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent.EventTypeCase;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class CrashTest extends ServerTest {
  @Test
  void c38_a_worker_process_is_killed() throws Exception {
    String hub = HUB + "-crash";
    client = new DurableTaskGrpcClientBuilder().grpcChannel(closing(new Channels(Channels.ADDRESS, hub)).channel).build();
    String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
    Background worker =
        closing(new Background(List.of(java, "-cp", System.getProperty("java.class.path"), March.class.getName(), hub)));
    String id = client.scheduleNewOrchestrationInstance("March");
    worker.says("step 7");
    worker.kill();

    List<Integer> ran = new CopyOnWriteArrayList<>();
    March.on(closing(new Worker(Channels.ADDRESS, hub)), ran::add).start();
    assertEquals(March.SUM, output(id, Integer.class));
    assertEquals(IntStream.rangeClosed(7, March.STEPS).boxed().toList(), ran);
  }

  /** The SDK's worker connects again by itself, after five seconds; its client with the next call. */
  @Test
  void c94_the_server_is_restarted() throws Exception {
    Path dir = Files.createTempDirectory("everdure-sdk-java-");
    closing(() -> remove(dir));
    // For root, PostgreSQL runs under another account, which has to get in.
    Files.setPosixFilePermissions(dir, PosixFilePermissions.fromString("rwxr-xr-x"));
    String address = freeAddress();
    Background server = startServer(address, dir);
    Worker worker = closing(new Worker(address, "default")).orchestration("Collect", EventsTest.COLLECT).start();
    DurableTaskClient client = new DurableTaskGrpcClientBuilder().grpcChannel(closing(new Channels(address, "default")).channel).build();
    String id = client.scheduleNewOrchestrationInstance("Collect", 2);
    client.raiseEvent(id, "Item", 1);
    eventually(
        "the first event reached the worker",
        () -> !worker.channels.tap.turns(id).isEmpty() && worker.channels.tap.count(id, EventTypeCase.EVENTRAISED) == 1);
    client.waitForInstanceStart(id, PATIENCE);
    server.close();

    startServer(address, dir);
    client.raiseEvent(id, "Item", 2);
    var state = client.waitForInstanceCompletion(id, PATIENCE, true);
    assertEquals(OrchestrationRuntimeStatus.COMPLETED, state.getRuntimeStatus());
    assertEquals("[1,2]", state.getSerializedOutput());
  }

  private Background startServer(String address, Path dir) throws IOException {
    String server = Channels.required("EVERDURE_BIN");
    Background started = closing(new Background(List.of(server, "dev", "--listen", address, "--data-dir", dir.resolve("data").toString())));
    started.says("everdure is listening on ");
    return started;
  }

  private static String freeAddress() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return "127.0.0.1:" + socket.getLocalPort();
    }
  }

  private static void remove(Path dir) throws IOException {
    try (Stream<Path> paths = Files.walk(dir)) {
      for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }
}
