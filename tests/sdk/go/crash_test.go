package sdk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/client"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/grpc/connectivity"
)

const workerHubVariable = "EVERDURE_TEST_WORKER_HUB"

const steps = 20

// marching runs its activities one after another. What they do is told to `ran`.
func marching(ran func(step int)) registry {
	return registry{
		orchestrators: map[string]task.Orchestrator{"March": func(ctx *task.OrchestrationContext) (any, error) {
			sum := 0
			for step := 1; step <= steps; step++ {
				var done int
				if err := ctx.CallActivity("Step", task.WithActivityInput(step)).Await(&done); err != nil {
					return nil, err
				}
				if err := ctx.CreateTimer(time.Millisecond).Await(nil); err != nil {
					return nil, err
				}
				sum += done
			}
			return sum, nil
		}},
		activities: map[string]task.Activity{"Step": func(ctx task.ActivityContext) (any, error) {
			var step int
			if err := ctx.GetInput(&step); err != nil {
				return nil, err
			}
			ran(step)
			return step, nil
		}},
	}
}

// runWorkerProcess is a worker in a process of its own: it says on its output which steps it runs, and stays in step 7
// until it is killed.
func runWorkerProcess() {
	conn, err := dial(os.Getenv(addressVariable), os.Getenv(workerHubVariable), &tap{})
	if err != nil {
		panic(err)
	}
	r := marching(func(step int) {
		fmt.Println("step", step)
		if step == 7 {
			select {}
		}
	})
	tasks := task.NewTaskRegistry()
	tasks.AddOrchestratorN("March", r.orchestrators["March"])
	tasks.AddActivityN("Step", r.activities["Step"])
	if err := client.NewTaskHubGrpcClient(conn, quiet{}).StartWorkItemListener(context.Background(), tasks); err != nil {
		panic(err)
	}
	select {}
}

func TestC38_AWorkerProcessIsKilled(t *testing.T) {
	h := openHub(t, os.Getenv(addressVariable), fmt.Sprintf("go-crash-%d", os.Getpid()))
	worker := exec.Command(os.Args[0])
	worker.Env = append(os.Environ(), workerHubVariable+"="+h.name)
	lines := output(t, worker)
	id := h.start("March")
	for line := ""; line != "step 7"; {
		line = receive(t, "the worker reaches step 7", lines)
	}
	must(t, worker.Process.Kill())

	var ran []int
	h.work(marching(func(step int) { ran = append(ran, step) }))
	h.completed(id, fmt.Sprint(steps*(steps+1)/2))
	var want []int
	for step := 7; step <= steps; step++ {
		want = append(want, step)
	}
	equal(t, "steps that the second worker ran", ran, want)
}

func TestC67_TheServerIsKilled(t *testing.T) {
	address, dir := freeAddress(t), openDir(t)
	server := startServer(t, address, dir)
	h := openHub(t, address, "default")
	ran := make(chan int, 2*steps)
	h.work(marching(func(step int) { ran <- step }))
	id := h.start("March")
	for receive(t, "the march is under way", ran) < 5 {
	}
	must(t, server.Process.Kill())
	server.Wait()
	startServer(t, address, dir)
	// The SDK's client and worker find the server again by themselves.
	h.completed(id, fmt.Sprint(steps*(steps+1)/2))
	turns := h.tap.turnsOf(string(id))
	results := 0
	for _, event := range events(turns[len(turns)-1], "pastEvents") {
		if kind(event) == "taskCompleted" {
			results++
		}
	}
	equal(t, "results in the history", results, steps)
	equal(t, "status", h.get(id).RuntimeStatus, api.RUNTIME_STATUS_COMPLETED)
}

func TestC94_TheServerIsRestarted(t *testing.T) {
	address, dir := freeAddress(t), openDir(t)
	// A worker that has nothing to do must not make the server wait for its patience to end.
	server := startServer(t, address, dir, "--drain", "300")
	h := openHub(t, address, "default")
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Collect": collect}})
	id := h.start("Collect", api.WithInput(1))
	h.reaches(id, api.RUNTIME_STATUS_RUNNING)
	must(t, server.Process.Signal(syscall.SIGTERM))
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	must(t, receive(t, "the server ends", ended))
	startServer(t, address, dir)
	h.conn.ResetConnectBackoff()
	eventually(t, "the client is connected again", func() bool { return h.conn.GetState() == connectivity.Ready })
	h.raise(id, "Item", 1)
	h.completed(id, "[1]")
}
