package sdk

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/dynamicpb"
)

func TestC03_UnknownFieldsAreIgnored(t *testing.T) {
	h := newHub(t)
	method := rpc(t, "StartInstance")
	request, answer := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	must(t, protojson.Unmarshal([]byte(`{"name": "Nowhere", "instanceId": "from-the-future"}`), request))
	for _, number := range []protowire.Number{99, 1000} {
		field := protowire.AppendTag(nil, number, protowire.BytesType)
		request.SetUnknown(append(request.GetUnknown(), protowire.AppendString(field, "what a newer client says")...))
	}
	must(t, h.conn.Invoke(soon(t), "/TaskHubSidecarService/StartInstance", request, answer))
	equal(t, "status", h.get("from-the-future").RuntimeStatus, api.RUNTIME_STATUS_PENDING)
}

func TestC06_AnEmptyIDIsFilledIn(t *testing.T) {
	h := newHub(t)
	answer, err := h.call("StartInstance", `{"name": "Collect", "input": "0"}`)
	must(t, err)
	id, _ := answer["instanceId"].(string)
	if id == "" {
		t.Fatal("there is no id")
	}
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Collect": collect}})
	h.completed(api.InstanceID(id), "[]")
}

func TestC07_IDsThatAreRefused(t *testing.T) {
	h := newHub(t)
	_, err := h.sdk.ScheduleNewOrchestration(soon(t), "Collect", api.WithInstanceID(api.InstanceID(strings.Repeat("x", 101))))
	refused(t, unwrapped(err), codes.InvalidArgument)
	contains(t, "the message", err.Error(), "length")
	_, err = h.sdk.ScheduleNewOrchestration(soon(t), "Collect", api.WithInstanceID("@counter@one"))
	refused(t, unwrapped(err), codes.InvalidArgument)
}

func TestC08_ADuplicateIsRefusedWithTheKnownWords(t *testing.T) {
	h := newHub(t)
	id := h.start("Collect", api.WithInstanceID("same"))
	_, err := h.sdk.ScheduleNewOrchestration(soon(t), "Collect", api.WithInstanceID(id))
	refused(t, unwrapped(err), codes.AlreadyExists)
	contains(t, "the message", err.Error(), api.ErrDuplicateInstance.Error())
}

func TestC09_AnEndedInstanceIsReplaced(t *testing.T) {
	h := collecting(t)
	id := h.start("Collect", api.WithInstanceID("again"), api.WithInput(0))
	first := h.completed(id, "[]")
	h.start("Collect", api.WithInstanceID(id), api.WithInput(1))
	h.raise(id, "Item", 4)
	second := h.completed(id, "[4]")
	if !second.CreatedAt.After(first.CreatedAt) {
		t.Fatalf("created at %v, and again at %v", first.CreatedAt, second.CreatedAt)
	}
}

func reuse(action api.CreateOrchestrationAction, statuses ...api.OrchestrationStatus) api.NewOrchestrationOptions {
	return api.WithOrchestrationIdReusePolicy(&api.OrchestrationIdReusePolicy{Action: action, OperationStatus: statuses})
}

func TestC12_ReuseIgnore(t *testing.T) {
	h := collecting(t)
	id := h.start("Collect", api.WithInstanceID("kept"), api.WithInput(1))
	h.reaches(id, api.RUNTIME_STATUS_RUNNING)
	before := h.get(id)
	h.start("Collect", api.WithInstanceID(id), api.WithInput(2),
		reuse(api.REUSE_ID_ACTION_IGNORE, api.RUNTIME_STATUS_RUNNING, api.RUNTIME_STATUS_PENDING))
	equal(t, "created", h.get(id).CreatedAt, before.CreatedAt)
	h.raise(id, "Item", 1)
	h.completed(id, "[1]")
	// A status that is not listed is an error, as it is with the SDK's own server.
	_, err := h.sdk.ScheduleNewOrchestration(soon(t), "Collect", api.WithInstanceID(id),
		reuse(api.REUSE_ID_ACTION_IGNORE, api.RUNTIME_STATUS_RUNNING))
	refused(t, unwrapped(err), codes.AlreadyExists)
	contains(t, "the message", err.Error(), api.ErrDuplicateInstance.Error())
}

func TestC12_ReuseTerminate(t *testing.T) {
	h := collecting(t)
	id := h.start("Collect", api.WithInstanceID("replaced"), api.WithInput(1))
	h.reaches(id, api.RUNTIME_STATUS_RUNNING)
	h.start("Collect", api.WithInstanceID(id), api.WithInput(2),
		reuse(api.REUSE_ID_ACTION_TERMINATE, api.RUNTIME_STATUS_RUNNING, api.RUNTIME_STATUS_PENDING))
	h.raise(id, "Item", 1)
	h.raise(id, "Item", 2)
	state := h.completed(id, "[1,2]")
	equal(t, "input", state.SerializedInput, "2")
}

// ERROR is the action 0, which is not on the wire: a list with it reads like that of a newer SDK. What runs is refused
// either way; what has ended and is listed is replaced.
func TestC11_ReuseErrorRefusesWhatRuns(t *testing.T) {
	h := collecting(t)
	id := h.start("Collect", api.WithInstanceID("refused"), api.WithInput(1))
	_, err := h.sdk.ScheduleNewOrchestration(soon(t), "Collect", api.WithInstanceID(id),
		reuse(api.REUSE_ID_ACTION_ERROR, api.RUNTIME_STATUS_RUNNING, api.RUNTIME_STATUS_PENDING, api.RUNTIME_STATUS_COMPLETED))
	refused(t, unwrapped(err), codes.InvalidArgument)
	contains(t, "the message", err.Error(),
		"Invalid reusable statuses: cannot exclude 'Terminated' while also allowing reuse of running instances")
	_, err = h.sdk.ScheduleNewOrchestration(soon(t), "Collect", api.WithInstanceID(id), reuse(api.REUSE_ID_ACTION_ERROR))
	refused(t, unwrapped(err), codes.AlreadyExists)
	contains(t, "the message", err.Error(), api.ErrDuplicateInstance.Error())
	h.raise(id, "Item", 1)
	h.completed(id, "[1]")
	// A policy that lists nothing keeps what has ended, as the SDK's own server does without one.
	_, err = h.sdk.ScheduleNewOrchestration(soon(t), "Collect", api.WithInstanceID(id), reuse(api.REUSE_ID_ACTION_ERROR))
	refused(t, unwrapped(err), codes.AlreadyExists)
	h.completed(id, "[1]")
}

func TestC10_ReplacingDropsWhatWasUnderWay(t *testing.T) {
	release, entered := make(chan struct{}), make(chan struct{}, 2)
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{"Calling": func(ctx *task.OrchestrationContext) (any, error) {
			var input, result string
			if err := ctx.GetInput(&input); err != nil {
				return nil, err
			}
			err := ctx.CallActivity("Slow", task.WithActivityInput(input)).Await(&result)
			return result, err
		}},
		activities: map[string]task.Activity{"Slow": func(ctx task.ActivityContext) (any, error) {
			var input string
			err := ctx.GetInput(&input)
			entered <- struct{}{}
			if input == "old" {
				<-release
			}
			return "result of " + input, err
		}},
	})
	id := h.start("Calling", api.WithInstanceID("fenced"), api.WithInput("old"))
	receive(t, "the old activity runs", entered)
	h.start("Calling", api.WithInstanceID(id), api.WithInput("new"),
		reuse(api.REUSE_ID_ACTION_TERMINATE, api.RUNTIME_STATUS_RUNNING, api.RUNTIME_STATUS_PENDING))
	close(release)
	h.completed(id, `"result of new"`)
}

func TestC13_AScheduledStart(t *testing.T) {
	var ran atomic.Int64
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Punctual": func(ctx *task.OrchestrationContext) (any, error) {
		ran.Store(ctx.CurrentTimeUtc.UnixNano())
		return nil, nil
	}}})
	due := time.Now().Add(1500 * time.Millisecond)
	id := h.start("Punctual", api.WithStartTime(due))
	if before := h.get(id).RuntimeStatus; before != api.RUNTIME_STATUS_PENDING && time.Now().Before(due) {
		t.Fatalf("the status is %v before its time", before)
	}
	h.completed(id, "")
	if at := time.Unix(0, ran.Load()); at.Before(due.Truncate(time.Microsecond)) {
		t.Fatalf("due at %v, ran at %v", due, at)
	}
	h.completed(h.start("Punctual", api.WithStartTime(time.Now().Add(-time.Hour))), "")
	h.completed(h.start("Punctual", api.WithStartTime(time.Unix(0, 0))), "")
}

func TestC15_AThousandStartsOfOneID(t *testing.T) {
	h := newHub(t)
	ctx := soon(t)
	var started, duplicates atomic.Int64
	var all sync.WaitGroup
	for i := 0; i < 1000; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			_, err := h.sdk.ScheduleNewOrchestration(ctx, "Collect", api.WithInstanceID("contended"), api.WithInput(0))
			if err == nil {
				started.Add(1)
			} else if strings.Contains(err.Error(), api.ErrDuplicateInstance.Error()) {
				duplicates.Add(1)
			}
		}()
	}
	all.Wait()
	equal(t, "starts", started.Load(), int64(1))
	equal(t, "duplicates", duplicates.Load(), int64(999))
}

func TestC19_WaitingForTheStart(t *testing.T) {
	release := make(chan struct{})
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Slow": func(*task.OrchestrationContext) (any, error) {
		<-release
		return "done", nil
	}}})
	id := h.start("Slow")
	eventually(t, "the worker has the first turn", func() bool { return len(h.tap.turnsOf(string(id))) == 1 })
	// C22: the turn is under way, and still the instance has not started.
	short, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if _, err := h.sdk.WaitForOrchestrationStart(short, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the wait ended with %v", err)
	}
	equal(t, "status", h.get(id).RuntimeStatus, api.RUNTIME_STATUS_PENDING)
	close(release)
	h.completed(id, `"done"`)
	// C20: what has ended has started.
	state, err := h.sdk.WaitForOrchestrationStart(soon(t), id)
	must(t, err)
	equal(t, "status", state.RuntimeStatus, api.RUNTIME_STATUS_COMPLETED)
}

func TestC16_AnUnknownInstance(t *testing.T) {
	h := newHub(t)
	if _, err := h.sdk.FetchOrchestrationMetadata(soon(t), "nobody"); !errors.Is(err, api.ErrInstanceNotFound) {
		t.Fatalf("an unknown instance gave %v", err)
	}
	// A wait gives it some time to appear.
	if _, err := h.sdk.WaitForOrchestrationCompletion(soon(t), "nobody"); !errors.Is(err, api.ErrInstanceNotFound) {
		t.Fatalf("waiting for an unknown instance gave %v", err)
	}
}

func TestC17_StatesWithoutPayloads(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Telling": func(ctx *task.OrchestrationContext) (any, error) {
		ctx.SetCustomStatus("told")
		return "the output", nil
	}}})
	id := h.start("Telling", api.WithInput("the input"))
	full := h.completed(id, `"the output"`)
	bare, err := h.sdk.FetchOrchestrationMetadata(soon(t), id, api.WithFetchPayloads(false))
	must(t, err)
	equal(t, "payloads", bare.SerializedInput+bare.SerializedOutput+bare.SerializedCustomStatus, "")
	full.SerializedInput, full.SerializedOutput, full.SerializedCustomStatus = "", "", ""
	equal(t, "the rest", bare, full)
}

func TestC18_TimesOfAnInstance(t *testing.T) {
	h := collecting(t)
	id := h.start("Collect", api.WithInput(1))
	h.reaches(id, api.RUNTIME_STATUS_RUNNING)
	running := h.get(id)
	if running.CreatedAt.IsZero() || running.LastUpdatedAt.Before(running.CreatedAt) {
		t.Fatalf("created at %v, updated at %v", running.CreatedAt, running.LastUpdatedAt)
	}
	h.raise(id, "Item", 1)
	ended := h.completed(id, "[1]")
	equal(t, "created", ended.CreatedAt, running.CreatedAt)
	if !ended.LastUpdatedAt.After(running.LastUpdatedAt) {
		t.Fatalf("updated at %v, and at the end at %v", running.LastUpdatedAt, ended.LastUpdatedAt)
	}
}

func TestC21_AThousandWaitingClients(t *testing.T) {
	h := collecting(t)
	id := h.start("Collect", api.WithInput(1))
	ctx := soon(t)
	var right atomic.Int64
	var all sync.WaitGroup
	for i := 0; i < 1000; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			state, err := h.sdk.WaitForOrchestrationCompletion(ctx, id)
			if err == nil && state.SerializedOutput == "[1]" {
				right.Add(1)
			}
		}()
	}
	h.reaches(id, api.RUNTIME_STATUS_RUNNING)
	h.raise(id, "Item", 1)
	all.Wait()
	equal(t, "clients that saw the end", right.Load(), int64(1000))
}
