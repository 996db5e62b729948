package sdk

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
)

// A family of three generations; the youngest waits for an event.
func family() registry {
	return registry{orchestrators: map[string]task.Orchestrator{
		"Grandparent": func(ctx *task.OrchestrationContext) (any, error) {
			return nil, ctx.CallSubOrchestrator("Parent", task.WithSubOrchestrationInstanceID(string(ctx.ID)+"-2")).Await(nil)
		},
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			return nil, ctx.CallSubOrchestrator("Collect", task.WithSubOrchestratorInput(1),
				task.WithSubOrchestrationInstanceID(string(ctx.ID)+"-3")).Await(nil)
		},
		"Collect": collect,
	}}
}

func startFamily(h *hub, name api.InstanceID) (generations [3]api.InstanceID) {
	h.t.Helper()
	id := h.start("Grandparent", api.WithInstanceID(name))
	generations = [3]api.InstanceID{id, id + "-2", id + "-2-3"}
	eventually(h.t, "the youngest runs", func() bool {
		state, err := h.sdk.FetchOrchestrationMetadata(soon(h.t), generations[2])
		return err == nil && state.RuntimeStatus == api.RUNTIME_STATUS_RUNNING
	})
	return generations
}

func TestC29_TerminateReachesGrandchildren(t *testing.T) {
	h := newHub(t)
	h.work(family())
	generations := startFamily(h, "all")
	must(t, h.sdk.TerminateOrchestration(soon(t), generations[0]))
	for _, id := range generations {
		equal(t, "status of "+string(id), h.end(id).RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
	}
}

func TestC29_TerminateOneOnly(t *testing.T) {
	h := newHub(t)
	h.work(family())
	generations := startFamily(h, "one")
	must(t, h.sdk.TerminateOrchestration(soon(t), generations[0], api.WithRecursiveTerminate(false)))
	equal(t, "status", h.end(generations[0]).RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
	h.raise(generations[2], "Item", 1)
	h.completed(generations[2], "[1]")
	h.completed(generations[1], "")
	equal(t, "status", h.get(generations[0]).RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
}

func TestC28_TerminateBeforeTheStartWithoutAWorker(t *testing.T) {
	h := newHub(t)
	id := h.start("Nowhere", api.WithInput(1))
	must(t, h.sdk.TerminateOrchestration(soon(t), id, api.WithOutput("never mind")))
	state := h.end(id)
	equal(t, "status", state.RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
	equal(t, "output", state.SerializedOutput, `"never mind"`)
	// Ended or unknown, it is no error.
	must(t, h.sdk.TerminateOrchestration(soon(t), id))
	must(t, h.sdk.TerminateOrchestration(soon(t), "nobody"))
}

func TestC30_TerminateWithARawOutput(t *testing.T) {
	h := newHub(t)
	h.work(family())
	id := h.start("Collect", api.WithInput(1))
	h.reaches(id, api.RUNTIME_STATUS_RUNNING)
	must(t, h.sdk.SuspendOrchestration(soon(t), id, ""))
	h.reaches(id, api.RUNTIME_STATUS_SUSPENDED)
	must(t, h.sdk.TerminateOrchestration(soon(t), id, api.WithRawOutput("plain words")))
	state := h.end(id)
	equal(t, "status", state.RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
	equal(t, "output", state.SerializedOutput, "plain words")
}

func TestC72_PurgeByID(t *testing.T) {
	h := newHub(t)
	h.work(family())
	h.completed(h.start("Collect", api.WithInput(0), api.WithInstanceID("done")), "[]")
	running := h.start("Collect", api.WithInput(1))
	h.reaches(running, api.RUNTIME_STATUS_RUNNING)
	must(t, h.sdk.PurgeOrchestrationState(soon(t), "done"))
	for _, id := range []api.InstanceID{"done", running, "nobody"} {
		if err := h.sdk.PurgeOrchestrationState(soon(t), id); !errors.Is(err, api.ErrInstanceNotFound) {
			t.Fatalf("purging %s gave %v", id, err)
		}
	}
	if _, err := h.sdk.FetchOrchestrationMetadata(soon(t), "done"); !errors.Is(err, api.ErrInstanceNotFound) {
		t.Fatalf("the purged instance gave %v", err)
	}
	equal(t, "status of what runs", h.get(running).RuntimeStatus, api.RUNTIME_STATUS_RUNNING)
}

func TestC72_PurgeWithTheChildren(t *testing.T) {
	h := newHub(t)
	h.work(family())
	generations := startFamily(h, "purged")
	h.raise(generations[2], "Item", 1)
	h.completed(generations[0], "")
	must(t, h.sdk.PurgeOrchestrationState(soon(t), generations[0], api.WithRecursivePurge(true)))
	for _, id := range generations {
		if _, err := h.sdk.FetchOrchestrationMetadata(soon(t), id); !errors.Is(err, api.ErrInstanceNotFound) {
			t.Fatalf("purged instance %s gave %v", id, err)
		}
	}
}

func TestC66_CustomStatus(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Telling": func(ctx *task.OrchestrationContext) (any, error) {
		for _, status := range []string{"first", `{"step":2}`, ""} {
			ctx.SetCustomStatus(status)
			if err := ctx.WaitForSingleEvent("Next", -1).Await(nil); err != nil {
				return nil, err
			}
		}
		ctx.SetCustomStatus("ended")
		return nil, nil
	}}})
	id := h.start("Telling")
	for _, status := range []string{"first", `{"step":2}`, "", "ended"} {
		eventually(t, "the custom status is '"+status+"'", func() bool {
			state := h.get(id)
			return state.RuntimeStatus != api.RUNTIME_STATUS_PENDING && state.SerializedCustomStatus == status
		})
		if status != "ended" {
			must(t, h.sdk.RaiseEvent(soon(t), id, "Next"))
		}
	}
	equal(t, "custom status", h.completed(id, "").SerializedCustomStatus, "ended")
}

func TestC64_ContinueAsNewAThousandTimes(t *testing.T) {
	const generations = 1000
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Counting": func(ctx *task.OrchestrationContext) (any, error) {
		var n int
		if err := ctx.GetInput(&n); err != nil {
			return nil, err
		}
		if err := ctx.CreateTimer(0).Await(nil); err != nil {
			return nil, err
		}
		if n < generations {
			ctx.ContinueAsNew(n + 1)
		}
		return n, nil
	}}})
	id := h.start("Counting", api.WithInput(1))
	// C23: the wait goes on through all generations.
	state := h.completed(id, "1000")
	equal(t, "input", state.SerializedInput, "1000")
	executions := map[any]bool{}
	for _, turn := range h.tap.turnsOf(string(id)) {
		executions[turn["executionId"]] = true
	}
	equal(t, "executions", len(executions), generations)
}

func TestC64_ContinueAsNewKeepsEvents(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Summing": func(ctx *task.OrchestrationContext) (any, error) {
		var seen []int
		if err := ctx.GetInput(&seen); err != nil {
			return nil, err
		}
		var next int
		if err := ctx.WaitForSingleEvent("Item", -1).Await(&next); err != nil {
			return nil, err
		}
		if seen = append(seen, next); len(seen) < 30 {
			// This timer belongs to the old generation and must not disturb the new one.
			ctx.CreateTimer(time.Millisecond)
			ctx.ContinueAsNew(seen, task.WithKeepUnprocessedEvents())
		}
		return seen, nil
	}}})
	id := h.start("Summing", api.WithInput([]int{}))
	want := ""
	for i := 1; i <= 30; i++ {
		h.raise(id, "Item", i)
		want += "," + strconv.Itoa(i)
	}
	h.completed(id, "["+want[1:]+"]")
}
