package sdk

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/client"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// How long anything may take that is expected to happen. Far more than it takes: a busy machine fails no test.
const patience = 90 * time.Second

// hub is what a test has of a task hub: a channel to it, the SDK's client, and what its workers are given.
type hub struct {
	t    *testing.T
	name string
	conn *grpc.ClientConn
	sdk  *client.TaskHubGrpcClient
	tap  *tap
}

// newHub connects to the hub that the tests of a run share. Each test has ids of its own; what one leaves running, the
// worker of the next one ends as unknown.
func newHub(t *testing.T) *hub {
	t.Helper()
	return openHub(t, os.Getenv(addressVariable), fmt.Sprintf("go-%d", os.Getpid()))
}

// openHub connects to a hub by its name. The hub is made when it is first used.
func openHub(t *testing.T, address, name string) *hub {
	t.Helper()
	h := &hub{t: t, name: name, tap: &tap{}}
	conn, err := dial(address, name, h.tap)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	h.conn, h.sdk = conn, client.NewTaskHubGrpcClient(conn, quiet{})
	return h
}

// dial makes a channel that names the hub in every call. The SDK has no option for it, and needs none.
func dial(address, name string, tap *tap) (*grpc.ClientConn, error) {
	unary := func(ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return call(metadata.AppendToOutgoingContext(ctx, "taskhub", name), method, request, reply, cc, opts...)
	}
	stream := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return open(metadata.AppendToOutgoingContext(ctx, "taskhub", name), desc, cc, method, opts...)
	}
	return grpc.Dial(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
		grpc.WithChainUnaryInterceptor(unary, tap.unary),
		grpc.WithChainStreamInterceptor(stream, tap.stream))
}

// registry maps names to what a worker runs.
type registry struct {
	orchestrators map[string]task.Orchestrator
	activities    map[string]task.Activity
}

func (r registry) build(t *testing.T) *task.TaskRegistry {
	t.Helper()
	tasks := task.NewTaskRegistry()
	for name, orchestrator := range r.orchestrators {
		must(t, tasks.AddOrchestratorN(name, orchestrator))
	}
	for name, activity := range r.activities {
		must(t, tasks.AddActivityN(name, activity))
	}
	return tasks
}

// work starts a worker, which stops with the test or when the function that it returns is called.
func (h *hub) work(r registry) (stop func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	must(h.t, h.sdk.StartWorkItemListener(ctx, r.build(h.t)))
	h.t.Cleanup(cancel)
	return cancel
}

func (h *hub) start(name string, opts ...api.NewOrchestrationOptions) api.InstanceID {
	h.t.Helper()
	id, err := h.sdk.ScheduleNewOrchestration(soon(h.t), name, opts...)
	must(h.t, err)
	return id
}

// end waits until an instance has ended.
func (h *hub) end(id api.InstanceID) *api.OrchestrationMetadata {
	h.t.Helper()
	state, err := h.sdk.WaitForOrchestrationCompletion(soon(h.t), id)
	must(h.t, err)
	return state
}

// completed waits for the end, which has to be a good one with that output.
func (h *hub) completed(id api.InstanceID, output string) *api.OrchestrationMetadata {
	h.t.Helper()
	state := h.end(id)
	equal(h.t, "status", state.RuntimeStatus, api.RUNTIME_STATUS_COMPLETED)
	equal(h.t, "output", state.SerializedOutput, output)
	return state
}

func (h *hub) get(id api.InstanceID) *api.OrchestrationMetadata {
	h.t.Helper()
	state, err := h.sdk.FetchOrchestrationMetadata(soon(h.t), id)
	must(h.t, err)
	return state
}

func (h *hub) raise(id api.InstanceID, name string, payload any) {
	h.t.Helper()
	must(h.t, h.sdk.RaiseEvent(soon(h.t), id, name, api.WithEventPayload(payload)))
}

// reaches waits until an instance has a status.
func (h *hub) reaches(id api.InstanceID, status api.OrchestrationStatus) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("instance %s is %v", id, status), func() bool { return h.get(id).RuntimeStatus == status })
}
