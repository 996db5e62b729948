package sdk

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
)

func TestChildrenWithoutAnIDGetOneFromTheServer(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			tasks := make([]task.Task, 20)
			for i := range tasks {
				tasks[i] = ctx.CallSubOrchestrator("Child", task.WithSubOrchestratorInput(i))
			}
			ids := map[string]bool{}
			for i, one := range tasks {
				var answer string
				if err := one.Await(&answer); err != nil {
					return nil, err
				}
				number, id, _ := strings.Cut(answer, " ")
				if number != fmt.Sprint(i) || id == "" {
					return nil, fmt.Errorf("child %d answered %q", i, answer)
				}
				ids[id] = true
			}
			return len(ids), nil
		},
		"Child": func(ctx *task.OrchestrationContext) (any, error) {
			var number int
			err := ctx.GetInput(&number)
			return fmt.Sprint(number, " ", ctx.ID), err
		},
	}})
	id := h.start("Parent")
	if state := h.end(id); state.SerializedOutput != "20" {
		t.Fatalf("the parent ended with %q, %s", state.SerializedOutput, failureOf(h, id))
	}
}

// The SDK sends the actions of a turn in any order, the end among them.
func TestC49_ChildrenThatNobodyWaitsForRunAllTheSame(t *testing.T) {
	const parents, children = 10, 10
	var ran atomic.Int64
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			for i := 0; i < children; i++ {
				ctx.CallSubOrchestrator("Child")
			}
			return "gone", nil
		},
		"Child": func(ctx *task.OrchestrationContext) (any, error) {
			ran.Add(1)
			return nil, nil
		},
	}})
	for i := 0; i < parents; i++ {
		h.completed(h.start("Parent"), `"gone"`)
	}
	eventually(t, "each child has run", func() bool { return ran.Load() >= parents*children })
}

func TestC53_ChildRetriesReuseTheInstance(t *testing.T) {
	var attempts atomic.Int64
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			var attempt int
			err := ctx.CallSubOrchestrator("Child",
				task.WithSubOrchestrationInstanceID("the-child"),
				task.WithSubOrchestrationRetryPolicy(&task.RetryPolicy{MaxAttempts: 5, InitialRetryInterval: time.Millisecond}),
			).Await(&attempt)
			return attempt, err
		},
		"Child": func(*task.OrchestrationContext) (any, error) {
			if attempt := attempts.Add(1); attempt < 3 {
				return nil, fmt.Errorf("attempt %d", attempt)
			}
			return 3, nil
		},
	}})
	h.completed(h.start("Parent"), "3")
	h.completed("the-child", "3")
}

func TestC54_AChildIDThatIsTakenFailsTheCall(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			err := ctx.CallSubOrchestrator("Collect", task.WithSubOrchestrationInstanceID("taken")).Await(nil)
			if err == nil {
				return nil, errors.New("the child ran")
			}
			return err.Error(), nil
		},
		"Collect": collect,
	}})
	taken := h.start("Collect", api.WithInput(1), api.WithInstanceID("taken"))
	h.reaches(taken, api.RUNTIME_STATUS_RUNNING)
	state := h.end(h.start("Parent"))
	equal(t, "status", state.RuntimeStatus, api.RUNTIME_STATUS_COMPLETED)
	contains(t, "what was caught", state.SerializedOutput, api.ErrDuplicateInstance.Error())
	h.raise(taken, "Item", 1)
	h.completed(taken, "[1]")
}

func TestC55_FailuresOfChildrenReachTheParent(t *testing.T) {
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{
			"Parent": func(ctx *task.OrchestrationContext) (any, error) {
				return nil, ctx.CallSubOrchestrator("Child").Await(nil)
			},
			"Child": func(ctx *task.OrchestrationContext) (any, error) {
				return nil, ctx.CallActivity("Fails").Await(nil)
			},
		},
		activities: map[string]task.Activity{"Fails": func(task.ActivityContext) (any, error) { return nil, errors.New("the root of it") }},
	})
	id := h.start("Parent")
	equal(t, "status", h.end(id).RuntimeStatus, api.RUNTIME_STATUS_FAILED)
	contains(t, "the failure", failureOf(h, id), "the root of it")
}

func TestC56_ATerminatedChildFailsTheCall(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			err := ctx.CallSubOrchestrator("Collect", task.WithSubOrchestratorInput(1), task.WithSubOrchestrationInstanceID("victim")).Await(nil)
			return err != nil, nil
		},
		"Collect": collect,
	}})
	id := h.start("Parent")
	eventually(t, "the child runs", func() bool {
		state, err := h.sdk.FetchOrchestrationMetadata(soon(t), "victim")
		return err == nil && state.RuntimeStatus == api.RUNTIME_STATUS_RUNNING
	})
	must(t, h.sdk.TerminateOrchestration(soon(t), "victim", api.WithRecursiveTerminate(false)))
	h.completed(id, "true")
}

func TestC57_AChildKnowsItsParent(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{
		"Parent": func(ctx *task.OrchestrationContext) (any, error) {
			if err := ctx.CreateTimer(0).Await(nil); err != nil {
				return nil, err
			}
			return nil, ctx.CallSubOrchestrator("Child", task.WithSubOrchestrationInstanceID("kid")).Await(nil)
		},
		"Child": func(*task.OrchestrationContext) (any, error) { return nil, nil },
	}})
	id := h.start("Parent")
	h.completed(id, "")
	parent := started(t, h, string(id))
	if parent["parentInstance"] != nil {
		t.Fatalf("an instance without a parent has %v", parent["parentInstance"])
	}
	info, _ := started(t, h, "kid")["parentInstance"].(message)
	equal(t, "the parent's name", info["name"], "Parent")
	equal(t, "the id of the call", info["taskScheduledId"], float64(1))
	instance := info["orchestrationInstance"].(message)
	equal(t, "the parent's id", instance["instanceId"], string(id))
	equal(t, "the parent's execution", instance["executionId"], h.tap.turnsOf(string(id))[0]["executionId"])
}

// started is the event that began an instance, as a worker saw it.
func started(t *testing.T, h *hub, id string) message {
	t.Helper()
	turns := h.tap.turnsOf(id)
	if len(turns) == 0 {
		t.Fatalf("no worker saw %s", id)
	}
	for _, event := range events(turns[0], "newEvents") {
		if kind(event) == "executionStarted" {
			return event["executionStarted"].(message)
		}
	}
	t.Fatalf("the first turn of %s does not begin it", id)
	return nil
}
