package sdk

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startServer starts a server with a database of its own, and waits until it listens.
func startServer(t *testing.T, address, dir string, more ...string) *exec.Cmd {
	t.Helper()
	server, _ := launch(t, append([]string{"dev", "--listen", address, "--data-dir", dir}, more...)...)
	return server
}

// launch starts a server, waits until it listens, and returns what it has printed by then.
func launch(t *testing.T, arguments ...string) (server *exec.Cmd, said map[string]string) {
	t.Helper()
	server, said = exec.Command(os.Getenv(serverVariable), arguments...), map[string]string{}
	for line := range output(t, server) {
		if address, ok := strings.CutPrefix(line, "everdure is listening on "); ok {
			said["address"] = address
			return server, said
		}
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "   "); ok {
			said[name] = value
		}
	}
	t.Fatalf("the server ended before it listened: %v", arguments)
	return nil, nil
}

// output starts a process, which ends with the test, and hands over the lines that it prints.
func output(t *testing.T, process *exec.Cmd) <-chan string {
	t.Helper()
	process.Stderr = os.Stderr
	// Should this process die, by a time limit for one, that one does not stay behind.
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	pipe, err := process.StdoutPipe()
	must(t, err)
	must(t, process.Start())
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(pipe); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		// A server takes its database with it when it is asked to end.
		process.Process.Signal(os.Interrupt)
		ended := make(chan struct{})
		go func() { process.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(patience):
			process.Process.Kill()
		}
	})
	return lines
}

// openDir is a directory that others may enter: for root, PostgreSQL runs under another account.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "everdure-sdk-go-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return filepath.Join(dir, "data")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}
