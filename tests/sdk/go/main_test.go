// Package sdk runs programs written with the published Go SDK against a real server. run.sh starts the server and names
// its address. Tests that show a numbered line of the conformance checklist carry its number: TestC43_...
package sdk

import (
	"fmt"
	"os"
	"testing"
)

const (
	addressVariable = "EVERDURE_ADDRESS"
	serverVariable  = "EVERDURE_BIN"
)

// The test binary is its own worker process for the tests that kill one: see crash_test.go.
func TestMain(m *testing.M) {
	if os.Getenv(addressVariable) == "" {
		fmt.Fprintln(os.Stderr, "no server: run tests/sdk/go/run.sh, which starts one and sets "+addressVariable)
		os.Exit(1)
	}
	if os.Getenv(workerHubVariable) != "" {
		runWorkerProcess()
		return
	}
	os.Exit(m.Run())
}
