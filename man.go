//go:build docs

package main

import (
	"os"
	"path/filepath"

	"davit/internal/cli"
)

// A davit that is built with the tag docs has one more verb. It writes the manual pages from the
// same definitions as --help. `make install` builds this davit and deletes it afterwards.
func init() {
	docsVerbs = []cli.Verb{{Name: "man", Group: selfGroup, New: func() *cli.Command {
		return &cli.Command{
			Name: "man", Usage: "write the manual pages to a directory", ArgsUsage: "DIRECTORY", Hidden: true,
			Action: verb(func(c *cli.Context) error {
				if err := arguments(c, 1, 1); err != nil {
					return err
				}
				return writeManuals(c.App, c.Args().First())
			}),
		}
	}}}
}

func writeManuals(a *cli.App, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeMan(a, dir, "", []cli.Section{exitStatusOf(""), files, environment, reporting}); err != nil {
		return err
	}
	for _, c := range a.Commands() {
		if err := writeMan(a, dir, c.Name, []cli.Section{exitStatusOf(c.Name), files, environment}); err != nil {
			return err
		}
	}
	return nil
}

func writeMan(a *cli.App, dir, verb string, sections []cli.Section) error {
	name := a.Name
	if verb != "" {
		name += "-" + verb
	}
	f, err := os.Create(filepath.Join(dir, name+".8"))
	if err != nil {
		return err
	}
	// Other manuals have a date here. The version gives the same pages for the same build.
	if err := a.Man(f, verb, "davit "+version, sections); err != nil {
		return err
	}
	return f.Close()
}

// exitStatusOf returns the section EXIT STATUS for a verb, or for davit itself ("").
func exitStatusOf(verb string) cli.Section {
	s := cli.Section{Title: "EXIT STATUS", Terms: [][2]string{{"0", "davit did what it was asked for"}, {"1", "an error; the message is on standard error and in the log"}}}
	switch verb {
	case "run", "exec":
		s.Terms = [][2]string{
			{"0 to 254", "without --detach: the exit status of the container's process; 128 plus the number of the signal, if a signal ended it"},
			{"255", "without --detach: an error of davit itself, or a process that exited with 255"},
			{"0, 1", "with --detach: the process runs, or an error"},
		}
	case "":
		s.Terms = append(s.Terms, [2]string{"other", "run and exec exit with the status of the container's process; see their pages"})
	}
	return s
}

var files = cli.Section{Title: "FILES", Terms: [][2]string{
	{"config.json", "in a bundle: the description of the container (runtime-spec)"},
	{"/run/davit", "the state of root's containers (--root); .seccomp has compiled seccomp filters"},
	{"$XDG_RUNTIME_DIR/davit", "the state of another user's containers"},
	{"/usr/share/doc/davit", "documentation, if davit comes from a package: design, engines, security"},
}}

var environment = cli.Section{Title: "ENVIRONMENT", Terms: [][2]string{
	{"XDG_RUNTIME_DIR", "without root: the directory of the containers' state and of the user's systemd"},
	{"USER", "in a user namespace: if this is not root, davit behaves as without root"},
	{"NOTIFY_SOCKET", "sd_notify(3): create and run pass the readiness of the container on to this socket"},
	{"LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES", "sd_listen_fds(3): davit passes these descriptors, from 3 on, to the container"},
	{"DBUS_SYSTEM_BUS_ADDRESS, DBUS_SESSION_BUS_ADDRESS", "with --systemd-cgroup: the bus to use if systemd's private socket cannot be used"},
}}

var reporting = cli.Section{Title: "REPORTING BUGS", Text: "Open an issue where you got davit, with the output of davit --version and davit check. " +
	"Report vulnerabilities in private, as SECURITY.md beside the documentation says."}
