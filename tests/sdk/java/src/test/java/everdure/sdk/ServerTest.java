package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.fail;

import com.microsoft.durabletask.DurableTaskClient;
import com.microsoft.durabletask.DurableTaskGrpcClientBuilder;
import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.function.Executable;

/** What the tests share: a client of the hub of this run, and workers that end with the test. */
abstract class ServerTest {
  /** How long anything may take that is expected to happen: far more than it takes, so that a busy machine fails no test. */
  static final Duration PATIENCE = Duration.ofSeconds(90);

  /** The hub of this run. Ids differ from test to test; what one leaves running, the next one's worker ends as unknown. */
  static final String HUB = "java-" + ProcessHandle.current().pid();

  private final Deque<AutoCloseable> open = new ArrayDeque<>();
  DurableTaskClient client;
  Channels channels;

  @BeforeEach
  void connect() {
    channels = closing(new Channels(Channels.ADDRESS, HUB));
    client = new DurableTaskGrpcClientBuilder().grpcChannel(channels.channel).build();
  }

  @AfterEach
  void closeAll() throws Exception {
    while (!open.isEmpty()) {
      open.pop().close();
    }
  }

  <T extends AutoCloseable> T closing(T resource) {
    open.push(resource);
    return resource;
  }

  Worker worker() {
    return closing(new Worker(Channels.ADDRESS, HUB));
  }

  OrchestrationMetadata end(String id) throws TimeoutException {
    return client.waitForInstanceCompletion(id, PATIENCE, true);
  }

  /** Waits for the end, which has to be a good one. */
  <T> T output(String id, Class<T> type) throws TimeoutException {
    OrchestrationMetadata state = end(id);
    assertEquals(
        OrchestrationRuntimeStatus.COMPLETED,
        state.getRuntimeStatus(),
        () -> "the end of " + id + ", " + state.getFailureDetails().getErrorMessage() + state.getFailureDetails().getStackTrace());
    return state.readOutputAs(type);
  }

  OrchestrationRuntimeStatus status(String id) {
    return client.getInstanceMetadata(id, false).getRuntimeStatus();
  }

  void reaches(String id, OrchestrationRuntimeStatus status) {
    eventually(id + " is " + status, () -> client.getInstanceMetadata(id, false).isInstanceFound() && status(id) == status);
  }

  /** Waits for a condition that no call waits for. */
  static void eventually(String what, BooleanSupplier holds) {
    Instant deadline = Instant.now().plus(PATIENCE);
    while (!holds.getAsBoolean()) {
      if (Instant.now().isAfter(deadline)) {
        fail("not within " + PATIENCE + ": " + what);
      }
      pause();
    }
  }

  private static void pause() {
    try {
      Thread.sleep(20);
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }

  static StatusRuntimeException refused(Status.Code code, Executable call) {
    StatusRuntimeException error = assertThrows(StatusRuntimeException.class, call);
    assertEquals(code, error.getStatus().getCode(), error::getMessage);
    return error;
  }
}
