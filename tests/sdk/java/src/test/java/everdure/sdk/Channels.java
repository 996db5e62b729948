package everdure.sdk;

import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import java.util.concurrent.TimeUnit;

/** A connection to a server that names a task hub in every call, and shows a test what goes over it. */
final class Channels implements AutoCloseable {
  /** Where run.sh has started a server. */
  static final String ADDRESS = required("EVERDURE_ADDRESS");

  final Channel channel;
  final Tap tap = new Tap();
  private final ManagedChannel connection;

  Channels(String address, String hub) {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("taskhub", Metadata.ASCII_STRING_MARSHALLER), hub);
    connection =
        ManagedChannelBuilder.forTarget(address)
            .usePlaintext()
            // The default of gRPC is 4 MB: histories of large payloads need more.
            .maxInboundMessageSize(64 << 20)
            .build();
    channel = ClientInterceptors.intercept(connection, MetadataUtils.newAttachHeadersInterceptor(headers), tap);
  }

  static String required(String variable) {
    String value = System.getenv(variable);
    if (value == null || value.isEmpty()) {
      throw new IllegalStateException("no " + variable + ": run tests/sdk/java/run.sh, which starts a server and sets it");
    }
    return value;
  }

  @Override
  public void close() {
    try {
      connection.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }
}
