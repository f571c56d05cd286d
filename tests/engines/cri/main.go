// Cri calls containerd or CRI-O through the Container Runtime Interface, one call a command, as the
// kubelet does. Its configurations are messages of cri-api as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	cri "k8s.io/cri-client/pkg"
	utilexec "k8s.io/utils/exec"
)

const usage = `usage: cri COMMAND ARGUMENT...      ($CRI_SOCKET: default /run/containerd/containerd.sock)
  runp HANDLER POD.json               print the sandbox's id
  stopp ID | rmp ID | statusp ID | statsp ID
  create SANDBOX CONTAINER.json POD.json       print the container's id
  start ID | stop ID [SECONDS] | rm ID | status ID | stats ID | reopen ID
  update ID RESOURCES.json            linux resources
  checkpoint ID FILE.tar              save it; its name as an image makes create restore it
  execsync ID COMMAND... | exec ID COMMAND... | exec-tty ID COMMAND... | attach ID
  ids | idsp                          all containers' or sandboxes' ids
`

// command is one of the commands above. least is the smallest number of arguments that it takes.
type command struct {
	least int
	run   func(ctx context.Context, s internalapi.RuntimeService, args []string) error
}

var commands = map[string]command{
	"runp": {2, runSandbox}, "create": {3, create}, "update": {2, update},
	"checkpoint": {2, checkpoint}, "execsync": {2, execSync}, "exec": {2, exec}, "exec-tty": {2, execTerminal}, "attach": {1, attach},
	"stop": {1, stop}, "ids": {0, ids}, "idsp": {0, sandboxes},
	"start":  {1, onID(internalapi.RuntimeService.StartContainer)},
	"rm":     {1, onID(internalapi.RuntimeService.RemoveContainer)},
	"reopen": {1, onID(internalapi.RuntimeService.ReopenContainerLog)},
	"stopp":  {1, onID(internalapi.RuntimeService.StopPodSandbox)},
	"rmp":    {1, onID(internalapi.RuntimeService.RemovePodSandbox)},
	"status": {1, func(ctx context.Context, s internalapi.RuntimeService, a []string) error {
		return show(s.ContainerStatus(ctx, a[0], true))
	}},
	"statusp": {1, func(ctx context.Context, s internalapi.RuntimeService, a []string) error {
		return show(s.PodSandboxStatus(ctx, a[0], true))
	}},
	"stats": {1, func(ctx context.Context, s internalapi.RuntimeService, a []string) error {
		return show(s.ContainerStats(ctx, a[0]))
	}},
	"statsp": {1, func(ctx context.Context, s internalapi.RuntimeService, a []string) error {
		return show(s.PodSandboxStats(ctx, a[0]))
	}},
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	c, known := commands[os.Args[1]]
	if !known || len(os.Args)-2 < c.least {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	err := connectAndRun(c)
	var status utilexec.ExitError
	if errors.As(err, &status) {
		os.Exit(status.ExitStatus())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cri:", os.Args[1]+":", err)
		os.Exit(1)
	}
}

func connectAndRun(c command) error {
	socket := os.Getenv("CRI_SOCKET")
	if socket == "" {
		socket = "/run/containerd/containerd.sock"
	}
	s, err := cri.NewRemoteRuntimeService("unix://"+socket, 2*time.Minute, noop.NewTracerProvider(), nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return c.run(ctx, s, os.Args[2:])
}

func onID(f func(internalapi.RuntimeService, context.Context, string) error) func(context.Context, internalapi.RuntimeService, []string) error {
	return func(ctx context.Context, s internalapi.RuntimeService, args []string) error {
		return f(s, ctx, args[0])
	}
}

// load reads a message of cri-api from a file; unknown fields are errors.
func load(file string, m protoadapt.MessageV1) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal(data, protoadapt.MessageV2Of(m)); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func show(m any, err error) error {
	if err != nil {
		return err
	}
	var text []byte
	switch v := m.(type) {
	case proto.Message:
		text, err = protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(v)
	case protoadapt.MessageV1:
		text, err = protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(protoadapt.MessageV2Of(v))
	default:
		text, err = json.Marshal(v)
	}
	fmt.Println(string(text))
	return err
}

func runSandbox(ctx context.Context, s internalapi.RuntimeService, args []string) error {
	var pod runtimeapi.PodSandboxConfig
	if err := load(args[1], &pod); err != nil {
		return err
	}
	id, err := s.RunPodSandbox(ctx, &pod, args[0])
	if err == nil {
		fmt.Println(id)
	}
	return err
}

func create(ctx context.Context, s internalapi.RuntimeService, args []string) error {
	var pod runtimeapi.PodSandboxConfig
	var container runtimeapi.ContainerConfig
	if err := errors.Join(load(args[1], &container), load(args[2], &pod)); err != nil {
		return err
	}
	id, err := s.CreateContainer(ctx, args[0], &container, &pod)
	if err == nil {
		fmt.Println(id)
	}
	return err
}

func update(ctx context.Context, s internalapi.RuntimeService, args []string) error {
	var r runtimeapi.LinuxContainerResources
	if err := load(args[1], &r); err != nil {
		return err
	}
	return s.UpdateContainerResources(ctx, args[0], &runtimeapi.ContainerResources{Linux: &r})
}

func stop(ctx context.Context, s internalapi.RuntimeService, args []string) error {
	grace := int64(0)
	if len(args) > 1 {
		var err error
		if grace, err = strconv.ParseInt(args[1], 10, 64); err != nil {
			return err
		}
	}
	return s.StopContainer(ctx, args[0], grace)
}

func checkpoint(ctx context.Context, s internalapi.RuntimeService, args []string) error {
	return s.CheckpointContainer(ctx, &runtimeapi.CheckpointContainerRequest{ContainerId: args[0], Location: args[1], Timeout: 60})
}

func ids(ctx context.Context, s internalapi.RuntimeService, _ []string) error {
	list, err := s.ListContainers(ctx, nil)
	for _, c := range list {
		fmt.Println(c.Id)
	}
	return err
}

func sandboxes(ctx context.Context, s internalapi.RuntimeService, _ []string) error {
	list, err := s.ListPodSandbox(ctx, nil)
	for _, p := range list {
		fmt.Println(p.Id)
	}
	return err
}

func execSync(ctx context.Context, s internalapi.RuntimeService, args []string) error {
	out, errors, err := s.ExecSync(ctx, args[0], args[1:], time.Minute)
	os.Stdout.Write(out)
	os.Stderr.Write(errors)
	return err
}

func exec(ctx context.Context, s internalapi.RuntimeService, args []string) error {
	r, err := s.Exec(ctx, &runtimeapi.ExecRequest{ContainerId: args[0], Cmd: args[1:], Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return err
	}
	return stream(ctx, r.Url, remotecommand.StreamOptions{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
}

func execTerminal(ctx context.Context, s internalapi.RuntimeService, args []string) error {
	r, err := s.Exec(ctx, &runtimeapi.ExecRequest{ContainerId: args[0], Cmd: args[1:], Stdin: true, Stdout: true, Tty: true})
	if err != nil {
		return err
	}
	size := make(sizes, 1)
	size <- remotecommand.TerminalSize{Width: 91, Height: 31}
	return stream(ctx, r.Url, remotecommand.StreamOptions{Stdin: os.Stdin, Stdout: os.Stdout, Tty: true, TerminalSizeQueue: size})
}

// sizes is a queue that holds one terminal size.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size := <-s
	return &size
}

func attach(ctx context.Context, s internalapi.RuntimeService, args []string) error {
	r, err := s.Attach(ctx, &runtimeapi.AttachRequest{ContainerId: args[0], Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return err
	}
	return stream(ctx, r.Url, remotecommand.StreamOptions{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
}

func stream(ctx context.Context, address string, o remotecommand.StreamOptions) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	e, err := remotecommand.NewSPDYExecutor(&restclient.Config{}, "POST", u)
	if err != nil {
		return err
	}
	if o.Stdin != nil {
		o.Stdin = io.Reader(o.Stdin)
	}
	return e.StreamWithContext(ctx, o)
}
