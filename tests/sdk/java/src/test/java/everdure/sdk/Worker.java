package everdure.sdk;

import com.microsoft.durabletask.DurableTaskGrpcWorker;
import com.microsoft.durabletask.DurableTaskGrpcWorkerBuilder;
import com.microsoft.durabletask.TaskActivity;
import com.microsoft.durabletask.TaskActivityFactory;
import com.microsoft.durabletask.TaskOrchestration;
import com.microsoft.durabletask.TaskOrchestrationFactory;
import java.time.Duration;
import java.util.logging.Level;
import java.util.logging.Logger;

/** The SDK's worker, on a connection and a thread of its own. */
final class Worker implements AutoCloseable {
  // What goes wrong is told by the tests. The field keeps the setting from being collected.
  private static final Logger QUIET = Logger.getLogger("com.microsoft.durabletask");

  static {
    QUIET.setLevel(Level.OFF);
  }

  final Channels channels;
  private final DurableTaskGrpcWorkerBuilder builder = new DurableTaskGrpcWorkerBuilder();
  private Thread thread;

  Worker(String address, String hub) {
    channels = new Channels(address, hub);
    builder.grpcChannel(channels.channel);
  }

  Worker orchestration(String name, TaskOrchestration code) {
    builder.addOrchestration(
        new TaskOrchestrationFactory() {
          @Override
          public String getName() {
            return name;
          }

          @Override
          public TaskOrchestration create() {
            return code;
          }
        });
    return this;
  }

  Worker activity(String name, TaskActivity code) {
    builder.addActivity(
        new TaskActivityFactory() {
          @Override
          public String getName() {
            return name;
          }

          @Override
          public TaskActivity create() {
            return code;
          }
        });
    return this;
  }

  Worker maximumTimerInterval(Duration interval) {
    builder.maximumTimerInterval(interval);
    return this;
  }

  Worker start() {
    DurableTaskGrpcWorker worker = builder.build();
    // The thread of `worker.start()` cannot be ended and keeps the process alive.
    thread = new Thread(worker::startAndBlock, "worker");
    thread.setDaemon(true);
    thread.start();
    return this;
  }

  @Override
  public void close() {
    if (thread != null) {
      thread.interrupt();
    }
    channels.close();
  }
}
