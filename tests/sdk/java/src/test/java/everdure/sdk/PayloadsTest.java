package everdure.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.microsoft.durabletask.Task;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class PayloadsTest extends ServerTest {
  private Worker worker;

  @BeforeEach
  void startWorker() {
    worker =
        worker()
            .orchestration(
                "Echo",
                ctx -> {
                  String through = ctx.callActivity("Echo", ctx.getInput(String.class), String.class).await();
                  ctx.complete(ctx.callSubOrchestrator("Again", through, String.class).await());
                })
            .orchestration("Again", ctx -> ctx.complete(ctx.getInput(String.class)))
            .orchestration(
                "Wide",
                ctx -> {
                  List<Task<Integer>> tasks = new ArrayList<>();
                  for (int i = 0; i < 100; i++) {
                    tasks.add(ctx.callActivity("Length", "x".repeat(100_000), Integer.class));
                  }
                  ctx.complete(ctx.allOf(tasks).await().stream().mapToInt(Integer::intValue).sum());
                })
            .activity("Echo", ctx -> ctx.getInput(String.class))
            .activity("Length", ctx -> ctx.getInput(String.class).length())
            .start();
  }

  @Test
  void c69_odd_texts() throws Exception {
    for (String text : List.of("", "\0 in the middle \0", "emoji 🦀 and 家", "quotes \" and \\ backslashes", "\u2028\u00a0\uffff")) {
      String id = client.scheduleNewOrchestrationInstance("Echo", text);
      assertEquals(text, output(id, String.class));
      assertEquals(text, client.getInstanceMetadata(id, true).readInputAs(String.class));
    }
  }

  @Test
  void c69_large_payloads() throws Exception {
    for (int megabytes : new int[] {1, 10}) {
      String text = "0123456789abcdef".repeat(megabytes << 16);
      assertEquals(text, output(client.scheduleNewOrchestrationInstance("Echo", text), String.class));
    }
  }

  /** This version sends a turn of any size in one message, and is sent its history in one. */
  @Test
  void c05_a_turn_with_ten_megabytes_of_actions() throws Exception {
    String id = client.scheduleNewOrchestrationInstance("Wide");
    assertEquals(10_000_000, output(id, Integer.class));
    var largest = worker.channels.tap.answers(id).stream().mapToInt(answer -> answer.getSerializedSize()).max();
    assertTrue(largest.orElse(0) > 10_000_000, largest::toString);
  }
}
