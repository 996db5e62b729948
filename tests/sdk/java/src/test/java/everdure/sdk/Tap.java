package everdure.sdk;

import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.HistoryEvent.EventTypeCase;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.OrchestratorRequest;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.OrchestratorResponse;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.WorkItem;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** Keeps what a worker is given and what it answers. */
final class Tap implements ClientInterceptor {
  private final List<OrchestratorRequest> turns = new ArrayList<>();
  private final List<OrchestratorResponse> answers = new ArrayList<>();

  /** The turns of an instance, in order. */
  synchronized List<OrchestratorRequest> turns(String instance) {
    return turns.stream().filter(turn -> turn.getInstanceId().equals(instance)).toList();
  }

  synchronized List<OrchestratorResponse> answers(String instance) {
    return answers.stream().filter(answer -> answer.getInstanceId().equals(instance)).toList();
  }

  /** The history of an instance as the worker saw it last: past and new events. */
  List<HistoryEvent> history(String instance) {
    List<OrchestratorRequest> turns = turns(instance);
    OrchestratorRequest last = turns.get(turns.size() - 1);
    return Stream.concat(last.getPastEventsList().stream(), last.getNewEventsList().stream()).toList();
  }

  long count(String instance, EventTypeCase kind) {
    return history(instance).stream().filter(event -> event.getEventTypeCase() == kind).count();
  }

  private synchronized void seen(Object message) {
    if (message instanceof WorkItem item && item.hasOrchestratorRequest()) {
      turns.add(item.getOrchestratorRequest());
    } else if (message instanceof OrchestratorResponse answer) {
      answers.add(answer);
    }
  }

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
      @Override
      public void start(Listener<A> listener, Metadata headers) {
        super.start(
            new SimpleForwardingClientCallListener<>(listener) {
              @Override
              public void onMessage(A message) {
                seen(message);
                super.onMessage(message);
              }
            },
            headers);
      }

      @Override
      public void sendMessage(Q message) {
        seen(message);
        super.sendMessage(message);
      }
    };
  }
}
