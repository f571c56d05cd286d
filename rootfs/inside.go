package rootfs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"davit/internal/plan"

	"golang.org/x/sys/unix"
)

// absoluteFiles refuses a relative path to what a filesystem is made of, such as a block device. The kernel would look it up in the
// stage's working directory, which is the target: a link that a volume has there could lead to any device of the host.
func absoluteFiles(m *plan.Mount) error {
	sources := []string{m.Source}
	if m.Type == "bcachefs" {
		sources = strings.Split(m.Source, ":")
	}
	for _, source := range sources {
		if !path.IsAbs(source) && (isOnDevice(m.Type) || slices.Contains(strings.Split(source, "/"), "..")) {
			return fmt.Errorf("source: %q is not an absolute path, which type %s needs", source, m.Type)
		}
	}
	for option := range strings.SplitSeq(m.Data, ",") {
		name, value, _ := strings.Cut(option, "=")
		if isDevice(name) && value != "" && !path.IsAbs(value) {
			return fmt.Errorf("option %s: %q is not an absolute path", name, value)
		}
	}
	return nil
}

// isOnDevice reports whether a type of filesystem has a block device or a directory as its source. Types that are not known here may
// have the name of a server, a share or a pool: if such a source is relative, the stage mounts them apart, where there is
// no file (plan.Mount.Keep).
func isOnDevice(fstype string) bool {
	switch fstype {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "vfat", "msdos", "exfat", "ntfs", "ntfs3", "iso9660", "udf", "squashfs",
		"erofs", "romfs", "cramfs", "minix", "hfs", "hfsplus", "jfs", "reiserfs", "nilfs2", "gfs2", "ocfs2", "zonefs", "fuseblk", "ecryptfs":
		return true
	}
	return false
}

// isDevice reports whether a filesystem's option has the path of one more device: btrfs, erofs, ext4, xfs.
func isDevice(option string) bool {
	return option == "device" || option == "journal_path" || option == "logdev" || option == "rtdev"
}

// filesBelow keeps what a filesystem is made of, such as the directories of an overlay, below the container's root if it lies
// there: the kernel looks its names up under the host's root, to which a link of the image would lead. They are followed here, where
// nobody else changes the root filesystem yet; what a volume has at such a place is refused, since others may change it.
func (c *Root) filesBelow(field string, step *plan.Mount) error {
	if err := absoluteFiles(step); err != nil {
		return err
	}
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
