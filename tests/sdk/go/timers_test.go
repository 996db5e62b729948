package sdk

import (
	"testing"
	"time"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
)

func TestC59_TimersAreNeverEarly(t *testing.T) {
	delays := []time.Duration{0, time.Millisecond, 200 * time.Millisecond, time.Second}
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Sleeping": func(ctx *task.OrchestrationContext) (any, error) {
		var early []string
		for _, delay := range delays {
			due := ctx.CurrentTimeUtc.Add(delay)
			if err := ctx.CreateTimer(delay).Await(nil); err != nil {
				return nil, err
			}
			if ctx.CurrentTimeUtc.Before(due) {
				early = append(early, delay.String())
			}
		}
		return early, nil
	}}})
	id := h.start("Sleeping")
	state := h.completed(id, "null")
	turns := h.tap.turnsOf(string(id))
	last := turns[len(turns)-1]
	equal(t, "the timers", timers(t, append(events(last, "pastEvents"), events(last, "newEvents")...)), delays)
	// A turn's time is the database's as a server knows it, a little late: by the wall clock a timer may be as much early.
	if took := state.LastUpdatedAt.Sub(state.CreatedAt); took < 1201*time.Millisecond-250*time.Millisecond {
		t.Fatalf("timers of 1,201 ms together took %v", took)
	}
}

// timers are the times for which the timers of a history were set, in order; each has to have fired, and not early.
func timers(t *testing.T, history []message) (delays []time.Duration) {
	t.Helper()
	due := map[any]time.Time{}
	for _, event := range history {
		at := instant(t, event["timestamp"])
		switch details, _ := event[kind(event)].(message); kind(event) {
		case "timerCreated":
			fireAt := instant(t, details["fireAt"])
			due[event["eventId"]] = fireAt
			delays = append(delays, fireAt.Sub(at))
		case "timerFired":
			timer := details["timerId"]
			if at.Before(due[timer]) {
				t.Fatalf("timer %v was due at %v and fired at %v", timer, due[timer], at)
			}
			delete(due, timer)
		}
	}
	equal(t, "timers that have not fired", len(due), 0)
	return delays
}

func instant(t *testing.T, text any) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text.(string))
	must(t, err)
	return at
}

func TestC60_TimersInThePastAndFarAway(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Patient": func(ctx *task.OrchestrationContext) (any, error) {
		far := ctx.CreateTimer(50 * 365 * 24 * time.Hour)
		if err := ctx.CreateTimer(-time.Hour).Await(nil); err != nil {
			return nil, err
		}
		ctx.SetCustomStatus("the past is over")
		return nil, far.Await(nil)
	}}})
	id := h.start("Patient")
	eventually(t, "the timer in the past has fired", func() bool { return h.get(id).SerializedCustomStatus == "the past is over" })
	must(t, h.sdk.TerminateOrchestration(soon(t), id, api.WithOutput("waited long enough")))
	state := h.end(id)
	equal(t, "status", state.RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
	equal(t, "output", state.SerializedOutput, `"waited long enough"`)
}

func TestTimersThatRunTogether(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Together": func(ctx *task.OrchestrationContext) (any, error) {
		timers := make([]task.Task, 50)
		for i := range timers {
			timers[i] = ctx.CreateTimer(time.Duration(i) * 10 * time.Millisecond)
		}
		for _, timer := range timers {
			if err := timer.Await(nil); err != nil {
				return nil, err
			}
		}
		return len(timers), nil
	}}})
	h.completed(h.start("Together"), "50")
}
