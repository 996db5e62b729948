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

func greet(ctx task.ActivityContext) (any, error) {
	var name string
	if err := ctx.GetInput(&name); err != nil {
		return nil, err
	}
	return "Hello, " + name + "!", nil
}

func TestActivitySequence(t *testing.T) {
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{"Sequence": func(ctx *task.OrchestrationContext) (any, error) {
			var cities, greetings []string
			if err := ctx.GetInput(&cities); err != nil {
				return nil, err
			}
			for _, city := range cities {
				var greeting string
				if err := ctx.CallActivity("Greet", task.WithActivityInput(city)).Await(&greeting); err != nil {
					return nil, err
				}
				greetings = append(greetings, greeting)
			}
			return greetings, nil
		}},
		activities: map[string]task.Activity{"Greet": greet},
	})
	id := h.start("Sequence", api.WithInput([]string{"Tokyo", "Seattle", "Łódź"}))
	state := h.completed(id, `["Hello, Tokyo!","Hello, Seattle!","Hello, Łódź!"]`)
	equal(t, "input", state.SerializedInput, `["Tokyo","Seattle","Łódź"]`)
	equal(t, "name", state.Name, "Sequence")
}

func TestC63_FanOutOfAThousandActivities(t *testing.T) {
	const width = 1000
	var ran atomic.Int64
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{"FanOut": func(ctx *task.OrchestrationContext) (any, error) {
			tasks := make([]task.Task, width)
			for i := range tasks {
				tasks[i] = ctx.CallActivity("Double", task.WithActivityInput(i))
			}
			sum := 0
			for _, one := range tasks {
				var doubled int
				if err := one.Await(&doubled); err != nil {
					return nil, err
				}
				sum += doubled
			}
			return sum, nil
		}},
		activities: map[string]task.Activity{"Double": func(ctx task.ActivityContext) (any, error) {
			ran.Add(1)
			var n int
			err := ctx.GetInput(&n)
			return 2 * n, err
		}},
	})
	h.completed(h.start("FanOut"), fmt.Sprint(width*(width-1)))
	equal(t, "activities that ran", ran.Load(), int64(width))
}

func TestActivityWithoutInputAndOutput(t *testing.T) {
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{"Bare": func(ctx *task.OrchestrationContext) (any, error) {
			var nothing *string
			return nil, ctx.CallActivity("Nothing").Await(&nothing)
		}},
		activities: map[string]task.Activity{"Nothing": func(ctx task.ActivityContext) (any, error) {
			var input *string
			if err := ctx.GetInput(&input); err != nil || input != nil {
				return nil, fmt.Errorf("the input is %v, %w", input, err)
			}
			return nil, nil
		}},
	})
	state := h.completed(h.start("Bare"), "")
	equal(t, "input", state.SerializedInput, "")
}

func TestActivityRetryPolicy(t *testing.T) {
	var attempts atomic.Int64
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{"Retrying": func(ctx *task.OrchestrationContext) (any, error) {
			var attempt int
			err := ctx.CallActivity("Flaky", task.WithActivityRetryPolicy(&task.RetryPolicy{
				MaxAttempts: 5, InitialRetryInterval: 10 * time.Millisecond, BackoffCoefficient: 2,
			})).Await(&attempt)
			return attempt, err
		}},
		activities: map[string]task.Activity{"Flaky": func(task.ActivityContext) (any, error) {
			if attempt := attempts.Add(1); attempt < 3 {
				return nil, fmt.Errorf("attempt %d", attempt)
			}
			return attempts.Load(), nil
		}},
	})
	h.completed(h.start("Retrying"), "3")
}

func TestActivityRetriesEndWithTheLastFailure(t *testing.T) {
	var attempts atomic.Int64
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{"Hopeless": func(ctx *task.OrchestrationContext) (any, error) {
			policy := &task.RetryPolicy{MaxAttempts: 3, InitialRetryInterval: time.Millisecond}
			return nil, ctx.CallActivity("Broken", task.WithActivityRetryPolicy(policy)).Await(nil)
		}},
		activities: map[string]task.Activity{"Broken": func(task.ActivityContext) (any, error) {
			return nil, fmt.Errorf("broken for the %d. time", attempts.Add(1))
		}},
	})
	id := h.start("Hopeless")
	equal(t, "status", h.end(id).RuntimeStatus, api.RUNTIME_STATUS_FAILED)
	equal(t, "attempts", attempts.Load(), int64(3))
	contains(t, "the failure", failureOf(h, id), "broken for the 3. time")
}

func TestActivityRetryHandlerSaysNo(t *testing.T) {
	var attempts atomic.Int64
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{"Picky": func(ctx *task.OrchestrationContext) (any, error) {
			policy := &task.RetryPolicy{
				MaxAttempts: 10, InitialRetryInterval: time.Millisecond,
				Handle: func(err error) bool { return strings.Contains(err.Error(), "try again") },
			}
			return nil, ctx.CallActivity("Broken", task.WithActivityRetryPolicy(policy)).Await(nil)
		}},
		activities: map[string]task.Activity{"Broken": func(task.ActivityContext) (any, error) {
			if attempts.Add(1) == 1 {
				return nil, errors.New("try again")
			}
			return nil, errors.New("for good")
		}},
	})
	id := h.start("Picky")
	equal(t, "status", h.end(id).RuntimeStatus, api.RUNTIME_STATUS_FAILED)
	equal(t, "attempts", attempts.Load(), int64(2))
}

func TestC55_FailuresOfActivitiesAndPanicsReachTheOrchestrator(t *testing.T) {
	h := newHub(t)
	h.work(registry{
		orchestrators: map[string]task.Orchestrator{"Catching": func(ctx *task.OrchestrationContext) (any, error) {
			var caught []string
			for _, name := range []string{"Fails", "Panics", "Missing"} {
				if err := ctx.CallActivity(name).Await(nil); err != nil {
					caught = append(caught, err.Error())
				}
			}
			return caught, nil
		}},
		activities: map[string]task.Activity{
			"Fails":  func(task.ActivityContext) (any, error) { return nil, errors.New("no stock") },
			"Panics": func(task.ActivityContext) (any, error) { panic("out of ideas") },
		},
	})
	state := h.end(h.start("Catching"))
	equal(t, "status", state.RuntimeStatus, api.RUNTIME_STATUS_COMPLETED)
	for _, part := range []string{"no stock", "out of ideas", "no task activity named 'Missing'"} {
		contains(t, "what was caught", state.SerializedOutput, part)
	}
}

// failureOf is the failure of an instance, which this version of the SDK does not hand to its users.
func failureOf(h *hub, id api.InstanceID) string {
	h.t.Helper()
	answer, err := h.call("GetInstance", fmt.Sprintf(`{"instanceId": %q, "getInputsAndOutputs": true}`, id))
	must(h.t, err)
	details, _ := answer["orchestrationState"].(message)["failureDetails"].(message)
	return fmt.Sprint(details["errorType"], ": ", details["errorMessage"])
}
