package sdk

import (
	"errors"
	"path"
	"regexp"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

var executionID = regexp.MustCompile("^[0-9a-f]{32}$")

// One of everything: an activity, a timer, a child, an event, and a second generation.
func oneOfEach() registry {
	return registry{
		orchestrators: map[string]task.Orchestrator{
			"OneOfEach": func(ctx *task.OrchestrationContext) (any, error) {
				var generation int
				if err := ctx.GetInput(&generation); err != nil {
					return nil, err
				}
				if err := errors.Join(
					ctx.CallActivity("Nothing").Await(nil),
					ctx.CreateTimer(time.Millisecond).Await(nil),
					ctx.CallSubOrchestrator("Child").Await(nil),
				); err != nil {
					return nil, err
				}
				if generation == 1 {
					ctx.ContinueAsNew(2)
					return nil, nil
				}
				return nil, ctx.WaitForSingleEvent("End", -1).Await(nil)
			},
			"Child": func(*task.OrchestrationContext) (any, error) { return nil, nil },
		},
		activities: map[string]task.Activity{"Nothing": func(task.ActivityContext) (any, error) { return nil, nil }},
	}
}

func TestC31_C33_C34_C50_WhatAWorkerIsGiven(t *testing.T) {
	h := newHub(t)
	h.work(oneOfEach())
	id := h.start("OneOfEach", api.WithInput(1))
	eventually(t, "the second generation waits for its event", func() bool { return len(h.tap.turnsOf(string(id))) >= 8 })
	h.raise(id, "End", nil)
	h.completed(id, "")
	turns := h.tap.turnsOf(string(id))
	var executions []any
	var known []message
	for number, turn := range turns {
		execution, _ := turn["executionId"].(string)
		if !executionID.MatchString(execution) {
			t.Fatalf("the execution id of turn %d is %q", number, execution)
		}
		fresh, past := events(turn, "newEvents"), events(turn, "pastEvents")
		begins := len(executions) == 0 || executions[len(executions)-1] != execution
		if begins {
			executions, known = append(executions, execution), nil
			equal(t, "the second event of a generation", kind(fresh[1]), "executionStarted")
		}
		equal(t, "the first event of a turn", kind(fresh[0]), "orchestratorStarted")
		for _, event := range fresh {
			equal(t, "the id of a new "+kind(event), event["eventId"], float64(-1))
		}
		for _, event := range append(fresh, past...) {
			switch kind(event) {
			case "orchestratorCompleted", "executionCompleted", "genericEvent", "historyState", "executionRewound", "nothing":
				t.Fatalf("turn %d has a %s", number, kind(event))
			}
		}
		// C32: what was new becomes past, as it was.
		for i, event := range known {
			if i >= len(past) || !sameEvent(event, past[i]) {
				t.Fatalf("event %d of turn %d was %v before and is something else now", i, number, event)
			}
		}
		known = append(append([]message(nil), past...), fresh...)
	}
	equal(t, "generations", len(executions), 2)
}

// An event that is sent again is the same, whatever the order of its fields in JSON.
func sameEvent(one, other message) bool {
	return kind(one) == kind(other) && one["timestamp"] == other["timestamp"] && one["eventId"] == other["eventId"]
}

func TestC49_C51_HistoryOfAnActivityATimerAndAChild(t *testing.T) {
	h := newHub(t)
	h.work(oneOfEach())
	id := h.start("OneOfEach", api.WithInput(2))
	eventually(t, "the instance waits for its event", func() bool { return len(h.tap.turnsOf(string(id))) >= 4 })
	h.raise(id, "End", nil)
	h.completed(id, "")
	turns := h.tap.turnsOf(string(id))
	last := turns[len(turns)-1]
	equal(t, "the history", kinds(append(events(last, "pastEvents"), events(last, "newEvents")...)), []string{
		"orchestratorStarted", "executionStarted", "taskScheduled",
		"orchestratorStarted", "taskCompleted", "timerCreated",
		"orchestratorStarted", "timerFired", "subOrchestrationInstanceCreated",
		"orchestratorStarted", "subOrchestrationInstanceCompleted",
		"orchestratorStarted", "eventRaised",
	})
	// Ids of what the orchestration did are its own: 0, 1, 2 in this SDK.
	var ids []any
	for _, event := range events(last, "pastEvents") {
		if id, _ := event["eventId"].(float64); id >= 0 {
			ids = append(ids, id)
		}
	}
	equal(t, "the ids of actions", ids, []any{float64(0), float64(1), float64(2)})
}

func TestC43_CompletionsWithoutAToken(t *testing.T) {
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{"Asking": func(ctx *task.OrchestrationContext) (any, error) {
			var input, answer string
			if err := ctx.GetInput(&input); err != nil {
				return nil, err
			}
			err := ctx.CallActivity("Echo", task.WithActivityInput(input)).Await(&answer)
			return answer, err
		}},
		activities: map[string]task.Activity{"Echo": func(ctx task.ActivityContext) (any, error) {
			var input string
			err := ctx.GetInput(&input)
			return input, err
		}},
	})
	// The same task id in many instances at once: only the instance tells them apart.
	ids := make([]api.InstanceID, 100)
	for i := range ids {
		ids[i] = h.start("Asking", api.WithInput(string(rune('a'+i%26))))
	}
	for i, id := range ids {
		h.completed(id, `"`+string(rune('a'+i%26))+`"`)
	}
	h.tap.mutex.Lock()
	defer h.tap.mutex.Unlock()
	if len(h.tap.completions) < 3*len(ids) {
		t.Fatalf("only %d completions were seen", len(h.tap.completions))
	}
	for _, sent := range h.tap.completions {
		message := sent.request.ProtoReflect()
		if message.Descriptor().Fields().ByName("completionToken") != nil || len(message.GetUnknown()) > 0 {
			t.Fatalf("this version of the SDK sends tokens with %s: this test shows nothing any more", sent.method)
		}
	}
}

func TestC42_CompletionsThatComeTwiceOrLate(t *testing.T) {
	h := newHub(t)
	h.tap.twice = true
	h.work(oneOfEach())
	id := h.start("OneOfEach", api.WithInput(2))
	// An answer without a token is for whichever turn of its instance is under way, so turns are answered once more only
	// when none can be: the server has the answers to all four turns, and to the activity.
	eventually(t, "the instance waits for its event", func() bool { return len(h.tap.completionsFor(string(id))) == 5 })
	h.tap.mutex.Lock()
	late := append([]completion(nil), h.tap.completions...)
	h.tap.mutex.Unlock()
	for _, said := range late {
		must(t, h.conn.Invoke(soon(t), said.method, said.request, answerOf(t, said.method)))
	}
	h.raise(id, "End", nil)
	h.completed(id, "")
	turns := h.tap.turnsOf(string(id))
	last := turns[len(turns)-1]
	results := 0
	for _, event := range events(last, "pastEvents") {
		if kind(event) == "taskCompleted" || kind(event) == "subOrchestrationInstanceCompleted" || kind(event) == "timerFired" {
			results++
		}
	}
	equal(t, "results in the history", results, 3)
	equal(t, "turns", len(turns), 5)
	// What has ended is not brought back.
	for _, said := range late {
		must(t, h.conn.Invoke(soon(t), said.method, said.request, answerOf(t, said.method)))
	}
	h.completed(id, "")
}

// answerOf is an empty message for what a call answers.
func answerOf(t *testing.T, method string) proto.Message {
	t.Helper()
	return dynamicpb.NewMessage(rpc(t, path.Base(method)).Output())
}
