package rootfs

import (
	"fmt"
	"path"
	"strings"

	"davit/internal/plan"

	"golang.org/x/sys/unix"
)

// filesBelow keeps what a filesystem is made of, such as the directories of an overlay, below the container's root if it lies
// there: the kernel looks its names up under the host's root, to which a link of the image would lead. They are followed here, where
// nobody else changes the root filesystem yet; what a volume has at such a place is refused, since others may change it.
func (c *Root) filesBelow(field string, step *plan.Mount) error {
	var err error
	if step.Source, err = c.fileBelow(field, step.Source); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	options := strings.Split(step.Data, ",")
	for i, option := range options {
		name, value, _ := strings.Cut(option, "=")
		files := strings.Split(value, ":")
		for j, file := range files {
			if step.Type == "overlay" && overlayFile(name) && file != "" && file[0] != '/' && (j == 0 || !strings.HasSuffix(files[j-1], `\`)) {
				return fmt.Errorf("option %s: %q is not an absolute path", name, file)
			}
			below, err := c.fileBelow(field, file)
			if err != nil {
				return fmt.Errorf("option %s: %w", name, err)
			}
			if below != file && strings.ContainsAny(below, `,:\"`) {
				return fmt.Errorf("option %s: %q leads to %q: a name with such characters cannot be passed on", name, file, below)
			}
			files[j] = below
		}
		if value != "" {
			options[i] = name + "=" + strings.Join(files, ":")
		}
	}
	step.Data = strings.Join(options, ",")
	return nil
}

func overlayFile(option string) bool {
	switch option {
	case "lowerdir", "upperdir", "workdir", "lowerdir+", "datadir+":
		return true
	}
	return false
}

// fileBelow returns where a file of the host is that lies in the container's root, without links; others as they are.
func (c *Root) fileBelow(field, file string) (string, error) {
	if !path.IsAbs(file) || c.ReadLink == nil {
		return file, nil
	}
	inside, is := c.inside(file)
	if !is {
		return file, nil
	}
	root, done, todo, links := Path(c.spec, c.Bundle), "/", inside, 0
	for todo != "" {
		var name string
		name, todo, _ = strings.Cut(todo, "/")
		next := path.Join(done, name)
		if next == done || name == ".." {
			done = next
			continue
		}
		text, is, _ := c.ReadLink(root + next) // what is not there is no link
		if !is {
			done = next
			continue
		}
		if links++; links > 40 {
			return "", fmt.Errorf("%s: %w", file, unix.ELOOP)
		}
		if path.IsAbs(text) {
			done = "/"
		}
		todo = text + "/" + todo
	}
	for _, at := range [...]string{inside, done} {
		if i := c.covering(field, at, false); i >= 0 {
			return "", fmt.Errorf("%s: what mounts[%d] shows in the container is not supported here: give its source on the host", file, i)
		}
	}
	if done == inside {
		return file, nil
	}
	return root + done, nil
}
