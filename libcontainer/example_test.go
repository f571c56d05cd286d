package libcontainer_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"davit/libcontainer"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// This is the life of a container. tests/embed does the same, as root.
func Example() {
	rt := &libcontainer.Runtime{
		Root:   "/run/example",
		Logger: libcontainer.Logger{Warn: func(text string) { log.Print(text) }},
	}
	p, err := rt.Create(libcontainer.CreateOptions{
		ID: "web", Bundle: "/srv/web", Stdio: libcontainer.Stdio{Out: os.Stdout, Err: os.Stderr},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	c, err := rt.Open("web")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Start(nil); err != nil {
		log.Fatal(err)
	}
	status, err := p.Wait()
	fmt.Println("ended:", status, err)
	if err := c.Delete(false); err != nil {
		log.Fatal(err)
	}
}

// This starts one more process in a container, with the container's own capabilities and labels.
func ExampleContainer_Exec() {
	rt := &libcontainer.Runtime{Root: "/run/example"}
	c, err := rt.Open("web")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	process := &specs.Process{Args: []string{"/bin/ps"}, Cwd: "/"}
	if err := c.Complete(process); err != nil {
		log.Fatal(err)
	}
	p, err := c.Exec(libcontainer.ExecOptions{Process: process, Stdio: libcontainer.Stdio{Out: os.Stdout}})
	if errors.Is(err, libcontainer.ErrNotRunning) {
		log.Fatal("it has ended meanwhile")
	} else if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Wait(); err != nil {
		log.Fatal(err)
	}
}

// This stops a container as engines do.
func ExampleContainer_Kill() {
	rt := &libcontainer.Runtime{Root: "/run/example"}
	c, err := rt.Open("web")
	if errors.Is(err, libcontainer.ErrNotFound) {
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Kill(unix.SIGTERM, false); err != nil && !errors.Is(err, libcontainer.ErrNotRunning) {
		log.Fatal(err)
	}
}

func ExampleRuntime_Open() {
	root, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	rt := &libcontainer.Runtime{Root: root}
	_, err = rt.Open("web")
	fmt.Println(err)
	fmt.Println(errors.Is(err, libcontainer.ErrNotFound))
	// Output:
	// container does not exist: "web"
	// true
}

func ExampleHint() {
	bundle, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(bundle)
	_, _, err = libcontainer.LoadBundle(bundle)
	fmt.Println(errors.Is(err, os.ErrNotExist))
	fmt.Println(libcontainer.Hint(err))
	// Output:
	// true
	// `davit spec` writes a config.json to begin with
}
