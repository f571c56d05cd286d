package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// lines has the calls of the session. ID and BUNDLE stand for the container and its bundle, ␣ for a
// space in an argument.
var lines = []string{
	"state ID", "kill ID", "delete ID", "delete --force ID", "exec ID true", // there is no container yet
	"create --bundle BUNDLE ID", "create --bundle BUNDLE ID", "state ID", "list", "list --quiet", "resume ID",
	"start ID", "start ID", "ps ID", "ps --format json ID", "ps ID -o pid,args",
	"exec ID sh -c id", "exec ID nope", "exec ID /nope", "exec ID /bin", "exec --cwd /nope ID true", "exec ID sh -c exit␣5", "exec ID",
	"exec --env A=1 --env A=2 --user 1000:1001 --additional-gids 7 ID sh -c id;env",
	"exec --cap CAP_SYSLOG ID grep Cap /proc/self/status",
	"update --pids-limit 60 ID", "update --memory lots ID", "update --bogus 1 ID",
	"pause ID", "state ID", "pause ID", "exec ID true", "delete ID", "resume ID",
	"kill ID NOPE", "kill ID 0", "kill ID RTMIN+1", "delete ID", "kill ID KILL", "STOPPED",
	"state ID", "kill ID TERM", "exec ID true", "pause ID", "resume ID", "start ID", "update --pids-limit 50 ID", "events --stats ID", "ps ID",
	"delete ID", "delete ID", "list",
	"bogus", "--bogus",
}

// session makes the same calls with each runtime, and writes their outputs side by side.
func session(page *strings.Builder, runtimes []runtime) error {
	page.WriteString("\n## A session\n\nExit status and output of the same calls, one after the other; pids, times and paths replaced. The program is `sleep 1000`.\n\n")
	var columns [][]string
	for _, r := range runtimes {
		column, err := r.session()
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		columns = append(columns, column)
	}
	i := -1
	for _, line := range lines {
		if line == "STOPPED" {
			continue
		}
		i++
		fmt.Fprintf(page, "**%s**\n", strings.NewReplacer("␣", " ", "ID", "web", "--bundle BUNDLE ", "").Replace(line))
		page.WriteString("```\n")
		for k, r := range runtimes {
			same := k > 0 && columns[k][i] == columns[0][i]
			text := columns[k][i]
			if same {
				text = "the same as davit"
			}
			fmt.Fprintf(page, "%-6s%s\n", r.name, strings.ReplaceAll(text, "\n", "\n      "))
		}
		page.WriteString("```\n")
	}
	return nil
}

func (r runtime) session() (column []string, err error) {
	dir, err := os.MkdirTemp("", "davit-verbs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	id := fmt.Sprintf("verbs-%d-%s", os.Getpid(), r.name)
	bundle := filepath.Join(dir, "web")
	if err := r.bundle(bundle, id); err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "state")
	if err := os.Mkdir(root, 0o700); err != nil {
		return nil, err
	}
	defer func() { r.call("--root", root, "delete", "--force", id) }()
	for _, line := range lines {
		if line == "STOPPED" {
			if err := r.awaitStopped(root, id); err != nil {
				return nil, err
			}
			continue
		}
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.NewReplacer("␣", " ", "ID", id, "BUNDLE", bundle).Replace(args[i])
		}
		text, status := r.call(append([]string{"--root", root}, args...)...)
		column = append(column, strings.TrimSpace(fmt.Sprintf("[%d] %s", status, normalize(text, id, dir))))
	}
	return column, nil
}

// call gives the runtime a file for its output, because a container may keep it open.
func (r runtime) call(args ...string) (text string, status int) {
	f, err := os.CreateTemp("", "davit-verbs-out")
	if err != nil {
		return err.Error(), -1
	}
	defer os.Remove(f.Name())
	defer f.Close()
	cmd := exec.Command(r.command[0], append(slices.Clone(r.command[1:]), args...)...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Run()
	data, err := os.ReadFile(f.Name())
	if err != nil {
		return err.Error(), -1
	}
	return string(data), cmd.ProcessState.ExitCode()
}

func (r runtime) awaitStopped(root, id string) error {
	for range 10000 {
		text, status := r.call("--root", root, "state", id)
		if status != 0 {
			return fmt.Errorf("state: %s", text)
		}
		if strings.Contains(text, "stopped") {
			return nil
		}
	}
	return fmt.Errorf("%s does not stop", id)
}

// bundle makes a bundle with the runtime's own default config.
func (r runtime) bundle(dir, id string) error {
	bin := filepath.Join(dir, "rootfs/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(bin, "busybox"), busybox, 0o755); err != nil {
		return err
	}
	for _, applet := range []string{"sh", "sleep", "true", "id", "env", "grep"} {
		if err := os.Symlink("busybox", filepath.Join(bin, applet)); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, "config.json")
	cmd := exec.Command("sh", append([]string{"-c", `cd "$0" && exec "$@"`, dir}, append(slices.Clone(r.command), "spec")...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("spec: %w: %s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var s specs.Spec
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	s.Process.Terminal, s.Process.Args, s.Linux.CgroupsPath = false, []string{"sleep", "1000"}, "/"+id
	s.Process.Rlimits = nil // crun 1.28 adds one that this host refuses
	if data, err = json.Marshal(s); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

var (
	times  = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
	pids   = regexp.MustCompile(`(?m)("pid" *: *|\[|web +|root +|^ *)\d{3,7}\b`)
	clocks = regexp.MustCompile(`\b\d\d:\d\d\b`)
	spaces = regexp.MustCompile(` {2,}`)
)

// longest is how many lines of an output the page shows. The rest is only help.
const longest = 14

func normalize(text, id, dir string) string {
	text = strings.NewReplacer(id, "web", dir, "/bundles").Replace(strings.ReplaceAll(strings.TrimRight(text, "\n"), `\/`, "/"))
	text = times.ReplaceAllString(text, "TIME")
	text = clocks.ReplaceAllString(text, "TIME")
	text = pids.ReplaceAllString(text, "${1}PID")
	text = spaces.ReplaceAllString(text, "  ")
	if all := strings.Split(text, "\n"); len(all) > longest {
		text = strings.Join(all[:longest], "\n") + fmt.Sprintf("\n… %d lines more", len(all)-longest)
	}
	return text
}
