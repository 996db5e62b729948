package sdk

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/client"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/grpc"
)

func TestC48_NoInstanceRunsAtTwoWorkersAtOnce(t *testing.T) {
	const instances, rounds = 40, 10
	name := fmt.Sprintf("go-two-workers-%d", os.Getpid())
	var running sync.Map
	var overlaps atomic.Int64
	var turns [2]atomic.Int64
	first := openHub(t, os.Getenv(addressVariable), name)
	for i, h := range []*hub{first, openHub(t, os.Getenv(addressVariable), name)} {
		i := i
		h.work(registry{
			orchestrators: map[string]task.Orchestrator{"Busy": func(ctx *task.OrchestrationContext) (any, error) {
				if _, taken := running.LoadOrStore(ctx.ID, i); taken {
					overlaps.Add(1)
				}
				turns[i].Add(1)
				time.Sleep(time.Millisecond)
				running.Delete(ctx.ID)
				for round := 0; round < rounds; round++ {
					if err := ctx.CallActivity("Nothing").Await(nil); err != nil {
						return nil, err
					}
				}
				return rounds, nil
			}},
			activities: map[string]task.Activity{"Nothing": func(task.ActivityContext) (any, error) { return nil, nil }},
		})
	}
	ids := make([]api.InstanceID, instances)
	for i := range ids {
		ids[i] = first.start("Busy")
	}
	for _, id := range ids {
		first.completed(id, fmt.Sprint(rounds))
	}
	equal(t, "turns of one instance at two workers", overlaps.Load(), int64(0))
	if turns[0].Load() == 0 || turns[1].Load() == 0 {
		t.Fatalf("one worker had %d turns, the other %d", turns[0].Load(), turns[1].Load())
	}
}

// split sends calls to one server and opens streams at another, as a load balancer may.
type split struct {
	calls, streams grpc.ClientConnInterface
}

func (s split) Invoke(ctx context.Context, method string, request, reply any, opts ...grpc.CallOption) error {
	return s.calls.Invoke(ctx, method, request, reply, opts...)
}

func (s split) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return s.streams.NewStream(ctx, desc, method, opts...)
}

// Two servers on one database: what a worker answers without a token reaches the one that did not ask.
func TestC43_C92_AnswersThatReachTheOtherServer(t *testing.T) {
	_, said := launch(t, "dev", "--listen", "127.0.0.1:0", "--data-dir", openDir(t))
	_, other := launch(t, "serve", "--listen", "127.0.0.1:0", "--database-url", said["url"])
	asking, answered := openHub(t, said["address"], "default"), openHub(t, other["address"], "default")
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var ran atomic.Int64
	worker := client.NewTaskHubGrpcClient(split{calls: answered.conn, streams: asking.conn}, quiet{})
	must(t, worker.StartWorkItemListener(ctx, marching(func(int) { ran.Add(1) }).build(t)))
	// A wait at one server ends when the other has stored the end.
	ids := []api.InstanceID{asking.start("March"), answered.start("March")}
	for i, h := range []*hub{answered, asking} {
		h.completed(ids[i], fmt.Sprint(steps*(steps+1)/2))
	}
	equal(t, "steps that ran", ran.Load(), int64(2*steps))
}

// An idle worker hears from the server from time to time, and can tell by it that the connection lives.
func TestC36_IdleStreamsArePinged(t *testing.T) {
	t.Parallel()
	h := openHub(t, os.Getenv(addressVariable), fmt.Sprintf("go-idle-%d", os.Getpid()))
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Collect": collect}})
	select {
	case <-h.tap.pinged():
	case <-time.After(60 * time.Second):
		t.Fatal("no ping for a minute; one is due every 30 s")
	}
	h.completed(h.start("Collect", api.WithInput(0)), "[]")
}
