package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.RetryPolicy;
import com.microsoft.durabletask.Task;
import com.microsoft.durabletask.TaskFailedException;
import com.microsoft.durabletask.TaskOptions;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.ParentInstanceInfo;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class ChildrenTest extends ServerTest {
  @Test
  void many_children_with_ids_of_the_sdk() throws Exception {
    worker()
        .orchestration(
            "Parent",
            ctx -> {
              List<Task<String>> tasks = new ArrayList<>();
              for (int i = 0; i < 20; i++) {
                tasks.add(ctx.callSubOrchestrator("Child", i, String.class));
              }
              ctx.complete(new HashSet<>(ctx.allOf(tasks).await()).size());
            })
        .orchestration("Child", ctx -> ctx.complete(ctx.getInput(Integer.class) + " " + ctx.getInstanceId()))
        .start();
    assertEquals(20, output(client.scheduleNewOrchestrationInstance("Parent"), Integer.class));
  }

  @Test
  void c53_child_retries_reuse_the_instance() throws Exception {
    AtomicInteger attempts = new AtomicInteger();
    worker()
        .orchestration(
            "Parent",
            ctx ->
                ctx.complete(
                    ctx.callSubOrchestrator(
                            "Child", null, "java-retried", new TaskOptions(new RetryPolicy(5, Duration.ofMillis(1))), Integer.class)
                        .await()))
        .orchestration(
            "Child",
            ctx -> {
              if (attempts.incrementAndGet() < 3) {
                throw new IllegalStateException("attempt " + attempts);
              }
              ctx.complete(attempts.get());
            })
        .start();
    assertEquals(3, output(client.scheduleNewOrchestrationInstance("Parent"), Integer.class));
    assertEquals(3, output("java-retried", Integer.class));
  }

  @Test
  void c54_a_child_id_that_is_taken_fails_the_call() throws Exception {
    worker()
        .orchestration("Parent", ctx -> ctx.complete(failureOf(() -> ctx.callSubOrchestrator("Collect", 1, "java-taken", Void.class).await())))
        .orchestration("Collect", EventsTest.COLLECT)
        .start();
    String taken = client.scheduleNewOrchestrationInstance("Collect", 1, "java-taken");
    reaches(taken, OrchestrationRuntimeStatus.RUNNING);
    String failure = output(client.scheduleNewOrchestrationInstance("Parent"), String.class);
    assertTrue(failure.contains("orchestration instance already exists"), failure);
    client.raiseEvent(taken, "Item", 1);
    end(taken);
  }

  @Test
  void c55_failure_details_of_a_child() throws Exception {
    worker()
        .orchestration("Parent", ctx -> ctx.complete(failureOf(() -> ctx.callSubOrchestrator("Child", null, Void.class).await())))
        .orchestration(
            "Child",
            ctx -> {
              throw new IllegalArgumentException("the root of it");
            })
        .start();
    assertEquals(
        "java.lang.IllegalArgumentException: the root of it",
        output(client.scheduleNewOrchestrationInstance("Parent"), String.class));
  }

  @Test
  void c29_c56_a_terminated_child_fails_the_call() throws Exception {
    worker()
        .orchestration("Parent", ctx -> ctx.complete(failureOf(() -> ctx.callSubOrchestrator("Collect", 1, "java-victim", Void.class).await())))
        .orchestration("Collect", EventsTest.COLLECT)
        .start();
    String parent = client.scheduleNewOrchestrationInstance("Parent");
    reaches("java-victim", OrchestrationRuntimeStatus.RUNNING);
    client.terminate("java-victim", null);
    assertFalse(output(parent, String.class).isEmpty());

    // This SDK ends one instance only: children go on.
    String other = client.scheduleNewOrchestrationInstance("Parent");
    reaches("java-victim", OrchestrationRuntimeStatus.RUNNING);
    client.terminate(other, null);
    assertEquals(OrchestrationRuntimeStatus.TERMINATED, end(other).getRuntimeStatus());
    client.raiseEvent("java-victim", "Item", 1);
    OrchestrationMetadata child = end("java-victim");
    assertEquals(OrchestrationRuntimeStatus.COMPLETED, child.getRuntimeStatus());
  }

  @Test
  void c57_a_child_knows_its_parent() throws Exception {
    Worker worker =
        worker()
            .orchestration(
                "Parent",
                ctx -> {
                  ctx.createTimer(Duration.ZERO).await();
                  ctx.callSubOrchestrator("Child", null, "java-kid", Void.class).await();
                })
            .orchestration("Child", ctx -> ctx.complete(null))
            .start();
    String id = client.scheduleNewOrchestrationInstance("Parent");
    end(id);
    HistoryEvent begun = worker.channels.tap.turns("java-kid").get(0).getNewEvents(1);
    ParentInstanceInfo parent = begun.getExecutionStarted().getParentInstance();
    assertEquals("Parent", parent.getName().getValue());
    assertEquals(id, parent.getOrchestrationInstance().getInstanceId());
    assertEquals(
        worker.channels.tap.turns(id).get(0).getExecutionId().getValue(),
        parent.getOrchestrationInstance().getExecutionId().getValue());
    assertEquals(
        parent.getTaskScheduledId(),
        worker.channels.tap.history(id).stream()
            .filter(HistoryEvent::hasSubOrchestrationInstanceCreated)
            .findFirst()
            .orElseThrow()
            .getEventId());
    assertFalse(worker.channels.tap.turns(id).get(0).getNewEvents(1).getExecutionStarted().hasParentInstance());
  }

  private static String failureOf(Runnable call) {
    try {
      call.run();
      return "";
    } catch (TaskFailedException error) {
      return error.getErrorDetails().getErrorType() + ": " + error.getErrorDetails().getErrorMessage();
    }
  }
}
