package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.microsoft.durabletask.DurableTaskClient;
import com.microsoft.durabletask.DurableTaskGrpcClientBuilder;
import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.OrchestrationStatusQuery;
import com.microsoft.durabletask.OrchestrationStatusQueryResult;
import com.microsoft.durabletask.PurgeInstanceCriteria;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Queries and purges, which count all that is in a hub: each test has one of its own. */
class QueryTest extends ServerTest {
  private String hub;
  private DurableTaskClient own;
  private Worker worker;

  @BeforeEach
  void openHub() {
    hub = HUB + "-query-" + System.nanoTime();
    own = new DurableTaskGrpcClientBuilder().grpcChannel(closing(new Channels(Channels.ADDRESS, hub)).channel).build();
    own.createTaskHub(true);
    worker =
        closing(new Worker(Channels.ADDRESS, hub))
            .orchestration("Collect", EventsTest.COLLECT)
            .orchestration(
                "Failing",
                ctx -> {
                  throw new IllegalStateException("as told");
                })
            .start();
  }

  @AfterEach
  void deleteHub() {
    worker.close();
    own.deleteTaskHub();
  }

  /** Ten that have completed, two that failed, one terminated, three that run. */
  private void fill() throws Exception {
    for (int i = 0; i < 10; i++) {
      own.scheduleNewOrchestrationInstance("Collect", 0, "done-" + i);
    }
    for (int i = 0; i < 2; i++) {
      own.scheduleNewOrchestrationInstance("Failing", null, "failed-" + i);
    }
    for (int i = 0; i < 3; i++) {
      own.scheduleNewOrchestrationInstance("Collect", 1, "running-" + i);
    }
    own.scheduleNewOrchestrationInstance("Collect", 1, "stopped");
    for (int i = 0; i < 3; i++) {
      own.waitForInstanceStart("running-" + i, PATIENCE);
    }
    own.waitForInstanceStart("stopped", PATIENCE);
    own.terminate("stopped", "enough");
    for (String id : ids(new OrchestrationStatusQuery())) {
      if (!id.startsWith("running")) {
        own.waitForInstanceCompletion(id, PATIENCE, false);
      }
    }
  }

  /** All pages of a query. */
  private List<OrchestrationMetadata> all(OrchestrationStatusQuery query) {
    List<OrchestrationMetadata> found = new ArrayList<>();
    String token = null;
    do {
      OrchestrationStatusQueryResult page = own.queryInstances(query.setContinuationToken(token));
      assertTrue(query.getMaxInstanceCount() == 0 || page.getOrchestrationState().size() <= query.getMaxInstanceCount());
      found.addAll(page.getOrchestrationState());
      token = page.getContinuationToken();
    } while (token != null && !token.isEmpty());
    return found;
  }

  private List<String> ids(OrchestrationStatusQuery query) {
    return all(query).stream().map(OrchestrationMetadata::getInstanceId).sorted().toList();
  }

  private static List<String> named(String prefix, int count) {
    return IntStream.range(0, count).mapToObj(i -> prefix + i).toList();
  }

  @Test
  void c70_queries_by_prefix_status_and_time() throws Exception {
    Instant before = Instant.now().minusSeconds(60);
    fill();
    assertEquals(16, ids(new OrchestrationStatusQuery()).size());
    assertEquals(named("done-", 10), ids(new OrchestrationStatusQuery().setInstanceIdPrefix("done-")));
    assertEquals(List.of(), ids(new OrchestrationStatusQuery().setInstanceIdPrefix("one-")));
    assertEquals(named("running-", 3), ids(statuses(OrchestrationRuntimeStatus.RUNNING)));
    assertEquals(
        List.of("failed-0", "failed-1", "stopped"),
        ids(statuses(OrchestrationRuntimeStatus.FAILED, OrchestrationRuntimeStatus.TERMINATED)));
    assertEquals(List.of(), ids(statuses(OrchestrationRuntimeStatus.SUSPENDED)));
    assertEquals(16, ids(new OrchestrationStatusQuery().setCreatedTimeFrom(before)).size());
    assertEquals(0, ids(new OrchestrationStatusQuery().setCreatedTimeTo(before)).size());
    Instant third = own.getInstanceMetadata("done-3", false).getCreatedAt();
    // The SDK's clock has milliseconds, the server's microseconds.
    var from = ids(new OrchestrationStatusQuery().setInstanceIdPrefix("done-").setCreatedTimeFrom(third));
    assertTrue(from.containsAll(named("done-", 10).subList(3, 10)), from::toString);
  }

  private static OrchestrationStatusQuery statuses(OrchestrationRuntimeStatus... statuses) {
    return new OrchestrationStatusQuery().setRuntimeStatusList(List.of(statuses));
  }

  @Test
  void c70_pages() throws Exception {
    fill();
    for (int size : new int[] {1, 3, 5, 16, 1000, Integer.MAX_VALUE}) {
      List<String> found = ids(new OrchestrationStatusQuery().setMaxInstanceCount(size));
      assertEquals(16, found.size(), "in pages of " + size);
      assertEquals(16, new HashSet<>(found).size(), "in pages of " + size);
    }
    refused(Status.Code.INVALID_ARGUMENT, () -> own.queryInstances(new OrchestrationStatusQuery().setContinuationToken("no token")));
  }

  @Test
  void c70_payloads_only_when_asked_for() throws Exception {
    fill();
    var query = new OrchestrationStatusQuery().setInstanceIdPrefix("stopped");
    OrchestrationMetadata bare = all(query.setFetchInputsAndOutputs(false)).get(0);
    assertEquals("", bare.getSerializedInput() + bare.getSerializedOutput());
    OrchestrationMetadata full = all(query.setFetchInputsAndOutputs(true)).get(0);
    assertEquals("1", full.getSerializedInput());
    assertEquals("enough", full.readOutputAs(String.class));
    OrchestrationMetadata failed = all(new OrchestrationStatusQuery().setInstanceIdPrefix("failed-0").setFetchInputsAndOutputs(true)).get(0);
    assertEquals("as told", failed.getFailureDetails().getErrorMessage());
  }

  @Test
  void c72_purge_by_id() throws Exception {
    fill();
    assertEquals(1, own.purgeInstance("done-0").getDeletedInstanceCount());
    assertEquals(0, own.purgeInstance("done-0").getDeletedInstanceCount());
    assertEquals(0, own.purgeInstance("running-0").getDeletedInstanceCount());
    assertEquals(0, own.purgeInstance("nobody").getDeletedInstanceCount());
    assertFalse(own.getInstanceMetadata("done-0", false).isInstanceFound());
    assertEquals(15, ids(new OrchestrationStatusQuery()).size());
  }

  @Test
  void c72_purge_by_filter_counts_exactly() throws Exception {
    Instant before = Instant.now().minusSeconds(60);
    fill();
    assertEquals(0, purge(new PurgeInstanceCriteria().setCreatedTimeFrom(before).setCreatedTimeTo(before.plusSeconds(1))));
    assertEquals(2, purge(criteria(before, OrchestrationRuntimeStatus.FAILED)));
    assertEquals(0, purge(criteria(before, OrchestrationRuntimeStatus.FAILED)));
    // What runs is not purged, whatever is asked for.
    assertEquals(0, purge(criteria(before, OrchestrationRuntimeStatus.RUNNING)));
    assertEquals(11, purge(criteria(before, OrchestrationRuntimeStatus.COMPLETED, OrchestrationRuntimeStatus.TERMINATED, OrchestrationRuntimeStatus.RUNNING)));
    own.raiseEvent("running-0", "Item", 1);
    own.waitForInstanceCompletion("running-0", PATIENCE, false);
    assertEquals(1, purge(new PurgeInstanceCriteria().setCreatedTimeFrom(before).setTimeout(Duration.ofSeconds(60))));
    assertEquals(List.of("running-1", "running-2"), ids(new OrchestrationStatusQuery()));
  }

  private static PurgeInstanceCriteria criteria(Instant from, OrchestrationRuntimeStatus... statuses) {
    return new PurgeInstanceCriteria().setCreatedTimeFrom(from).setRuntimeStatusList(List.of(statuses));
  }

  private int purge(PurgeInstanceCriteria criteria) throws Exception {
    return own.purgeInstances(criteria).getDeletedInstanceCount();
  }
}
