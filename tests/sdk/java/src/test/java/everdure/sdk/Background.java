package everdure.sdk;

import java.io.BufferedReader;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A process that ends with the test, and whose output says how far it is. */
final class Background implements AutoCloseable {
  final Process process;
  private final BufferedReader output;
  private final Thread hook;

  Background(List<String> command) throws IOException {
    process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    output = process.inputReader();
    // Should this process be told to end, that one does not stay behind.
    hook = new Thread(process::destroy);
    Runtime.getRuntime().addShutdownHook(hook);
  }

  /** Reads until a line begins so. */
  void says(String start) throws IOException {
    for (String line = output.readLine(); line != null; line = output.readLine()) {
      if (line.startsWith(start)) {
        return;
      }
    }
    throw new IOException("the process ended before it said '" + start + "'");
  }

  void kill() throws InterruptedException {
    process.destroyForcibly().waitFor();
  }

  /** Asks it to end, and waits until it has: a server takes its database with it. */
  @Override
  public void close() throws InterruptedException {
    process.destroy();
    if (!process.waitFor(ServerTest.PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new IllegalStateException("the process did not end when it was asked to: " + process.info());
    }
    Runtime.getRuntime().removeShutdownHook(hook);
  }
}
