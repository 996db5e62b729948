package sdk

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/grpc/codes"
)

// collect waits for as many events as its input says and returns their payloads.
func collect(ctx *task.OrchestrationContext) (any, error) {
	var count int
	if err := ctx.GetInput(&count); err != nil {
		return nil, err
	}
	got := make([]int, count)
	for i := range got {
		if err := ctx.WaitForSingleEvent("Item", -1).Await(&got[i]); err != nil {
			return nil, err
		}
	}
	return got, nil
}

func collecting(t *testing.T) *hub {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Collect": collect}})
	return h
}

func TestEventsToARunningInstance(t *testing.T) {
	h := collecting(t)
	id := h.start("Collect", api.WithInput(3))
	h.reaches(id, api.RUNTIME_STATUS_RUNNING)
	for i := 1; i <= 3; i++ {
		h.raise(id, "Item", i)
	}
	h.completed(id, "[1,2,3]")
}

func TestC24_EventsBeforeTheStart(t *testing.T) {
	h := newHub(t)
	id := h.start("Collect", api.WithInput(2))
	h.raise(id, "Item", 7)
	h.raise(id, "Item", 8)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Collect": collect}})
	h.completed(id, "[7,8]")
	first := kinds(events(h.tap.turnsOf(string(id))[0], "newEvents"))
	equal(t, "the first batch", first, []string{"orchestratorStarted", "executionStarted", "eventRaised", "eventRaised"})
}

func TestC25_EventsOfOneNameKeepTheirOrderInAnyCase(t *testing.T) {
	h := collecting(t)
	id := h.start("Collect", api.WithInput(40))
	want := "["
	for i := 0; i < 40; i++ {
		h.raise(id, []string{"item", "ITEM", "Item", "iTeM"}[i%4], i)
		if i > 0 {
			want += ","
		}
		want += strconv.Itoa(i)
	}
	h.completed(id, want+"]")
}

func TestC26_EventsToUnknownAndFinishedInstances(t *testing.T) {
	h := collecting(t)
	refused(t, unwrapped(h.sdk.RaiseEvent(soon(t), "nobody", "Item")), codes.NotFound)
	id := h.start("Collect", api.WithInput(0))
	h.completed(id, "[]")
	h.raise(id, "Item", 1)
	h.completed(id, "[]")
}

// unwrapped is the error of gRPC within that of the SDK.
func unwrapped(err error) error {
	for err != nil {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
	return nil
}

func TestAnEventThatDoesNotCome(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Waiting": func(ctx *task.OrchestrationContext) (any, error) {
		now := ctx.WaitForSingleEvent("Never", 0).Await(nil)
		later := ctx.WaitForSingleEvent("Never", 100*time.Millisecond).Await(nil)
		return []bool{errors.Is(now, task.ErrTaskCanceled), errors.Is(later, task.ErrTaskCanceled)}, nil
	}}})
	h.completed(h.start("Waiting"), "[true,true]")
}

func TestC27_SuspendAndResume(t *testing.T) {
	h := collecting(t)
	id := h.start("Collect", api.WithInput(2))
	h.reaches(id, api.RUNTIME_STATUS_RUNNING)
	must(t, h.sdk.SuspendOrchestration(soon(t), id, "lunch"))
	h.reaches(id, api.RUNTIME_STATUS_SUSPENDED)
	h.raise(id, "Item", 1)
	h.raise(id, "Item", 2)
	eventually(t, "both events reached the worker", func() bool {
		count := 0
		for _, turn := range h.tap.turnsOf(string(id)) {
			for _, event := range events(turn, "newEvents") {
				if kind(event) == "eventRaised" {
					count++
				}
			}
		}
		return count == 2
	})
	equal(t, "status", h.get(id).RuntimeStatus, api.RUNTIME_STATUS_SUSPENDED)
	must(t, h.sdk.ResumeOrchestration(soon(t), id, "back"))
	h.completed(id, "[1,2]")
}

func TestC27_SuspendBeforeTheStart(t *testing.T) {
	h := newHub(t)
	id := h.start("Collect", api.WithInput(1))
	must(t, h.sdk.SuspendOrchestration(soon(t), id, "not yet"))
	h.raise(id, "Item", 5)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Collect": collect}})
	h.reaches(id, api.RUNTIME_STATUS_SUSPENDED)
	must(t, h.sdk.ResumeOrchestration(soon(t), id, "now"))
	h.completed(id, "[5]")
	// What has ended stays as it is.
	must(t, h.sdk.SuspendOrchestration(soon(t), id, "too late"))
	h.completed(id, "[5]")
	refused(t, unwrapped(h.sdk.SuspendOrchestration(soon(t), "nobody", "")), codes.NotFound)
	refused(t, unwrapped(h.sdk.ResumeOrchestration(soon(t), "nobody", "")), codes.NotFound)
}
