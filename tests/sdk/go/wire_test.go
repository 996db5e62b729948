package sdk

import (
	"context"
	"encoding/json"
	"path"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// message is a protobuf message as JSON. The SDK keeps its message types to itself; their descriptions are registered.
type message = map[string]any

// call makes a call that the SDK does not make, with the SDK's own message types.
func (h *hub) call(method, request string) (message, error) {
	h.t.Helper()
	description := rpc(h.t, method)
	in, out := dynamicpb.NewMessage(description.Input()), dynamicpb.NewMessage(description.Output())
	must(h.t, protojson.Unmarshal([]byte(request), in))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.conn.Invoke(ctx, "/TaskHubSidecarService/"+method, in, out); err != nil {
		return nil, err
	}
	return toMessage(out), nil
}

// rpc is the description of a call.
func rpc(t *testing.T, method string) protoreflect.MethodDescriptor {
	t.Helper()
	service, err := protoregistry.GlobalFiles.FindDescriptorByName("TaskHubSidecarService")
	must(t, err)
	return service.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method))
}

func toMessage(from proto.Message) message {
	text, err := protojson.Marshal(from)
	if err != nil {
		panic(err)
	}
	var into message
	if err := json.Unmarshal(text, &into); err != nil {
		panic(err)
	}
	return into
}

// tap sees what goes over the wire between a worker and the server, and can send results of activities twice.
type tap struct {
	mutex       sync.Mutex
	turns       []turn
	completions []completion
	twice       bool
	pings       chan struct{}
}

// pinged gets a signal for each item without anything that this version of the SDK knows.
func (t *tap) pinged() <-chan struct{} {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.pings == nil {
		t.pings = make(chan struct{}, 1000)
	}
	return t.pings
}

// turn is an item of an orchestration. It becomes JSON when a test asks for it: large payloads would take long.
type turn struct {
	instance string
	request  proto.Message
}

// completion is a call with which a worker said what came of an item.
type completion struct {
	method  string
	request proto.Message
}

func (t *tap) unary(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	err := call(ctx, method, request, reply, cc, opts...)
	name := path.Base(method)
	if err != nil || (name != "CompleteOrchestratorTask" && name != "CompleteActivityTask") {
		return err
	}
	t.mutex.Lock()
	t.completions = append(t.completions, completion{method, proto.Clone(request.(proto.Message))})
	// Its task tells a result of an activity from all others; a turn's answer could be taken for that of the next turn.
	again := t.twice && name == "CompleteActivityTask"
	t.mutex.Unlock()
	if again {
		return call(ctx, method, request, reply, cc, opts...)
	}
	return nil
}

func (t *tap) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	return &tappedStream{stream, t}, err
}

type tappedStream struct {
	grpc.ClientStream
	tap *tap
}

func (s *tappedStream) RecvMsg(into any) error {
	err := s.ClientStream.RecvMsg(into)
	if err == nil {
		s.tap.received(into.(proto.Message).ProtoReflect())
	}
	return err
}

func (t *tap) received(item protoreflect.Message) {
	fields := item.Descriptor().Fields()
	field := fields.ByName("orchestratorRequest")
	if field == nil {
		return
	}
	if !item.Has(field) {
		if !item.Has(fields.ByName("activityRequest")) {
			t.ping()
		}
		return
	}
	request := item.Get(field).Message()
	instance := request.Get(request.Descriptor().Fields().ByName("instanceId")).String()
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.turns = append(t.turns, turn{instance, request.Interface()})
}

func (t *tap) ping() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.pings != nil {
		t.pings <- struct{}{}
	}
}

// completionsFor are those for the turns and activities of an instance that the server has acknowledged.
func (t *tap) completionsFor(id string) (completions []completion) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, completion := range t.completions {
		if toMessage(completion.request)["instanceId"] == id {
			completions = append(completions, completion)
		}
	}
	return completions
}

// turnsOf is what a worker was given of an instance, in order.
func (t *tap) turnsOf(id string) (turns []message) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for _, turn := range t.turns {
		if turn.instance == id {
			turns = append(turns, toMessage(turn.request))
		}
	}
	return turns
}

// events are the past or the new events of a turn.
func events(turn message, which string) (events []message) {
	list, _ := turn[which].([]any)
	for _, event := range list {
		events = append(events, event.(message))
	}
	return events
}

// kind is the name of what an event tells.
func kind(event message) string {
	for name := range event {
		if name != "eventId" && name != "timestamp" {
			return name
		}
	}
	return "nothing"
}

func kinds(events []message) (kinds []string) {
	for _, event := range events {
		kinds = append(kinds, kind(event))
	}
	return kinds
}
