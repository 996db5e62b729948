package sdk

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/microsoft/durabletask-go/api"
	"github.com/microsoft/durabletask-go/client"
	"github.com/microsoft/durabletask-go/task"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The plain SDK, without the header: the hub `default`.
func TestC01_WithoutAHeader(t *testing.T) {
	conn, err := grpc.Dial(os.Getenv(addressVariable), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	plain := &hub{t: t, conn: conn, sdk: client.NewTaskHubGrpcClient(conn, quiet{}), tap: &tap{}}
	plain.work(registry{orchestrators: map[string]task.Orchestrator{"Collect": collect}})
	id := plain.start("Collect", api.WithInput(0))
	plain.completed(id, "[]")
	named := openHub(t, os.Getenv(addressVariable), "default")
	named.completed(id, "[]")
	if _, err := newHub(t).sdk.FetchOrchestrationMetadata(soon(t), id); !errors.Is(err, api.ErrInstanceNotFound) {
		t.Fatalf("another hub answered %v", err)
	}
}

func TestC91_HubsAreApart(t *testing.T) {
	address := os.Getenv(addressVariable)
	left, right := openHub(t, address, fmt.Sprintf("go-left-%d", os.Getpid())), openHub(t, address, fmt.Sprintf("go-right-%d", os.Getpid()))
	for side, h := range map[string]*hub{"left": left, "right": right} {
		side := side
		h.work(registry{
			orchestrators: map[string]task.Orchestrator{
				"Collect": collect,
				"Side": func(ctx *task.OrchestrationContext) (any, error) {
					var answer string
					err := ctx.CallActivity("Where").Await(&answer)
					return answer, err
				},
			},
			activities: map[string]task.Activity{"Where": func(task.ActivityContext) (any, error) { return side, nil }},
		})
		h.start("Side", api.WithInstanceID("side"))
		h.start("Collect", api.WithInstanceID("twin"), api.WithInput(1))
	}
	left.completed("side", `"left"`)
	right.completed("side", `"right"`)
	left.raise("twin", "Item", 1)
	left.completed("twin", "[1]")
	must(t, left.sdk.PurgeOrchestrationState(soon(t), "twin"))
	must(t, right.sdk.TerminateOrchestration(soon(t), "twin"))
	equal(t, "status", right.end("twin").RuntimeStatus, api.RUNTIME_STATUS_TERMINATED)
	for _, h := range []*hub{left, right} {
		_, err := h.call("DeleteTaskHub", "{}")
		must(t, err)
	}
}

func TestC76_MakingAndDeletingHubs(t *testing.T) {
	h := openHub(t, os.Getenv(addressVariable), fmt.Sprintf("go-made-%d", os.Getpid()))
	do := func(method, request string) {
		t.Helper()
		_, err := h.call(method, request)
		must(t, err)
	}
	do("CreateTaskHub", "{}")
	do("CreateTaskHub", "{}")
	id := h.start("Collect", api.WithInstanceID("kept"))
	do("CreateTaskHub", "{}")
	equal(t, "status", h.get(id).RuntimeStatus, api.RUNTIME_STATUS_PENDING)
	do("CreateTaskHub", `{"recreateIfExists": true}`)
	if _, err := h.sdk.FetchOrchestrationMetadata(soon(t), id); !errors.Is(err, api.ErrInstanceNotFound) {
		t.Fatalf("the recreated hub still has the instance: %v", err)
	}
	do("DeleteTaskHub", "{}")
	do("DeleteTaskHub", "{}")
}

func TestC76_DeletedHubsLeaveNothingBehind(t *testing.T) {
	for i := 0; i < 60; i++ {
		h := openHub(t, os.Getenv(addressVariable), fmt.Sprintf("go-passing-%d-%d", os.Getpid(), i))
		stop := h.work(registry{orchestrators: map[string]task.Orchestrator{"Collect": collect}})
		h.completed(h.start("Collect", api.WithInput(0)), "[]")
		stop()
		if _, err := h.call("DeleteTaskHub", "{}"); err != nil {
			t.Fatalf("hub %d: %v", i, err)
		}
	}
}
