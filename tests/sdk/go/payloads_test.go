package sdk

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/task"
)

// echo sends its input through an activity and a child.
func echo() registry {
	return registry{
		orchestrators: map[string]task.Orchestrator{
			"Echo": func(ctx *task.OrchestrationContext) (any, error) {
				var input, through string
				if err := ctx.GetInput(&input); err != nil {
					return nil, err
				}
				if err := ctx.CallActivity("Echo", task.WithActivityInput(input)).Await(&through); err != nil {
					return nil, err
				}
				var again string
				err := ctx.CallSubOrchestrator("Again", task.WithSubOrchestratorInput(through)).Await(&again)
				return again, err
			},
			"Again": func(ctx *task.OrchestrationContext) (any, error) {
				var input string
				err := ctx.GetInput(&input)
				return input, err
			},
		},
		activities: map[string]task.Activity{"Echo": func(ctx task.ActivityContext) (any, error) {
			var input string
			err := ctx.GetInput(&input)
			return input, err
		}},
	}
}

func TestC69_OddTexts(t *testing.T) {
	h := newHub(t)
	h.work(echo())
	for _, text := range []string{"", "\x00 in the middle \x00", "emoji 🦀 and 家", `quotes " and \ backslashes`, "\u2028 \u00a0 \uffff"} {
		want, err := json.Marshal(text)
		must(t, err)
		state := h.completed(h.start("Echo", api.WithInput(text)), string(want))
		equal(t, "input", state.SerializedInput, string(want))
	}
}

func TestC69_LargePayloads(t *testing.T) {
	h := newHub(t)
	h.work(echo())
	for _, size := range []int{1 << 20, 10 << 20} {
		text := strings.Repeat("0123456789abcdef", size/16)
		h.completed(h.start("Echo", api.WithInput(text)), `"`+text+`"`)
	}
}

func TestTextsThatAreNoJSON(t *testing.T) {
	h := newHub(t)
	h.work(registry{orchestrators: map[string]task.Orchestrator{"Raw": func(ctx *task.OrchestrationContext) (any, error) {
		var never any
		return nil, ctx.GetInput(&never)
	}}})
	id := h.start("Raw", api.WithRawInput("<not json>"))
	state := h.end(id)
	equal(t, "status", state.RuntimeStatus, api.RUNTIME_STATUS_FAILED)
	equal(t, "input", state.SerializedInput, "<not json>")
}
