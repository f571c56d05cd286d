package checkpoint

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"davit/internal/launch"
	"davit/internal/plan"
	"davit/internal/sys"

	"golang.org/x/sys/unix"
)

// externalMount is a mount of the plan that shows something of the host. davit tells CRIU its key when CRIU saves the container, and
// which mount has that key when CRIU restores it.
type externalMount struct {
	key    string // unique; runc gives mounts the same keys
	target string // the path in the container
	field  string // the field of config.json
	source plan.Descriptor
	keep   plan.FD // for a step that changes the mount; plan.NoFD for most
	tree   plan.FD // the descriptor in the plan
	link   bool    // a symbolic link at the end of target is not followed
	// MOUNT_ATTR_* that the mount has and does not have; all also applies to mounts below it.
	set, clear, allSet, allClear uint64
}

// nullKey is the key of all masked files: each is a mount of the host's /dev/null.
const nullKey = "/dev/null"

// plainSuffix is added to the key of a file's mount that lacks attributes which davit gives it: runc and crun give masked files and
// devices fewer. In a user namespace CRIU could not clear an attribute again.
const plainSuffix = " without attributes"

// emptyKey is the key of all masked directories for which crun mounts an empty directory of the host. Restore gives them another one.
const emptyKey = "empty directory"

// hostSource is a source that the stage copies from the host.
type hostSource struct {
	source plan.Descriptor // how the parent could open it
	set    uint64          // MOUNT_ATTR_* of the top mount
}

// hostSources returns the sources by the descriptors that they get: those of step Source, and those
// of step Copy, whose tree comes from a mount namespace that a Gather has made, or from a tree to
// which the parent has given id mappings.
func hostSources(p *plan.Plan) map[plan.FD]hostSource {
	found, gathered := map[plan.FD]hostSource{}, map[plan.FD]plan.FD{}
	for _, e := range p.Steps {
		switch s := e.Step.(type) {
		case plan.Source:
			found[s.Tree] = hostSource{hostTree(s.Path, s.Link, s.Recursive), s.Set}
		case plan.Gather:
			gathered[s.Tree] = s.From
		case plan.Copy:
			d := hostTree(s.Source, s.Same != plan.NoFD && p.Descriptors[s.Same-1].Link, s.Recursive)
			if from := gathered[s.From]; from != plan.NoFD && p.Descriptors[from-1].Mapped() {
				d = p.Descriptors[from-1]
			}
			found[s.Tree] = hostSource{d, s.Set}
		}
	}
	return found
}

// hostTree describes a mount tree of the host, as the parent opens it.
func hostTree(path string, link, recursive bool) plan.Descriptor {
	d := plan.Descriptor{Kind: plan.Tree, Path: path, Link: link}
	if recursive {
		d.Kind = plan.TreeRecursive
	}
	return d
}

// externalMountsOf returns the external mounts of a plan, in the order of the plan.
func externalMountsOf(p *plan.Plan) []externalMount {
	sources := hostSources(p)
	var list []externalMount
	for _, e := range p.Steps {
		switch s := e.Step.(type) {
		case plan.Bind:
			if s.How&plan.BindInRoot != 0 {
				continue
			}
			m := externalMount{key: s.Target, target: s.Target, field: e.Field, tree: s.Tree, keep: s.Keep, link: s.How&plan.BindTargetLink != 0}
			m.set, m.clear, m.allSet, m.allClear = s.Set, s.Clear|s.Drop, s.RecSet, s.RecClear
			if from, own := sources[s.Tree]; own {
				m.source = from.source
				m.source.Field = e.Field + ".source"
				m.set |= from.set
			} else if s.Tree != plan.NoFD {
				m.source = p.Descriptors[s.Tree-1]
			} else {
				m.source = hostTree(s.Source, s.How&plan.BindSourceLink != 0, s.How&plan.BindRecursive != 0)
				m.source.Field = e.Field + ".source"
			}
			list = append(list, m)
		case plan.Remount:
			changeMount(list, &s)
		case plan.Mask:
			if s.Null != plan.NoFD {
				list = append(list, externalMount{key: nullKey, target: s.Path, field: e.Field, tree: s.Null,
					set:    unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC,
					source: plan.Descriptor{Kind: plan.Tree, Path: "/dev/null", Field: e.Field}})
			}
		}
	}
	return list
}

// changeMount gives the attributes of a later step to the mount that it changes, if that is in list. A read-only bind mount with others
// below it gets its attribute so.
func changeMount(list []externalMount, s *plan.Remount) {
	for i := len(list) - 1; i >= 0; i-- {
		m := &list[i]
		if s.Tree != plan.NoFD && m.keep == s.Tree || s.Tree == plan.NoFD && m.target == s.Target {
			m.set, m.clear = m.set&^s.Clear|s.Set, m.clear&^s.Set|s.Clear
			return
		}
	}
}

// externalMounts returns the mounts of the running container that CRIU must not save, as
// "mnt[PLACE]:KEY". It leaves out those that the container has unmounted. CRIU saves mounts that
// the container has made itself.
func externalMounts(p *plan.Plan, pid int, rootfs string) ([]string, error) {
	root, err := launch.Named("open", "the container's root")(unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	mounts, err := sys.Mounts(strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	keys := map[string]string{} // by place
	add := func(m *externalMount, place string) {
		keys[place] = m.key
		if m.source.Kind == plan.TreeRecursive {
			below(mounts, place, m.source.Path, m.key, keys)
		}
	}
	for _, m := range externalMountsOf(p) {
		place := mountPlace(root, &m, mounts)
		switch {
		case place == nil:
		case m.hasPlain() && !place.dir && !place.has(m.set):
			keys[place.Point] = m.key + plainSuffix
		case m.key != nullKey || !place.dir:
			add(&m, place.Point)
		case place.Root != "/": // an empty tmpfs masks most directories, and CRIU saves that
			keys[place.Point] = emptyKey
		}
	}
	below(mounts, "/", rootfs, "/", keys)
	list := make([]string, 0, len(keys))
	for place, key := range keys {
		list = append(list, "mnt["+place+"]:"+key)
	}
	slices.Sort(list)
	return list, nil
}

// foundMount is a mount of the running container.
type foundMount struct {
	sys.Mount
	dir bool // it is a directory
}

// hasPlain reports whether restore can also give the mount without attributes (plainSuffix).
func (m *externalMount) hasPlain() bool { return m.set != 0 && m.source.Kind != plan.TreeRecursive }

// variants returns the mount in each form that an image may ask for.
func (m *externalMount) variants() []externalMount {
	if !m.hasPlain() {
		return []externalMount{*m}
	}
	plain := *m
	plain.key, plain.set, plain.clear = m.key+plainSuffix, 0, 0
	return []externalMount{*m, plain}
}

// has reports whether the mount has those of the attributes (MOUNT_ATTR_*) that CRIU sets.
func (m *foundMount) has(attributes uint64) bool {
	list := strings.Split(m.Options, ",")
	for _, a := range [...]struct {
		bit  uint64
		name string
	}{{unix.MOUNT_ATTR_RDONLY, "ro"}, {unix.MOUNT_ATTR_NOSUID, "nosuid"}, {unix.MOUNT_ATTR_NODEV, "nodev"}, {unix.MOUNT_ATTR_NOEXEC, "noexec"}} {
		if attributes&a.bit != 0 && !slices.Contains(list, a.name) {
			return false
		}
	}
	return true
}

// mountPlace returns the mount to which a path of the container leads, or nil if it leads to none.
func mountPlace(root int, m *externalMount, mounts []sys.Mount) *foundMount {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if m.link {
		how.Flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat2(root, m.target, &how)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE|unix.STATX_MNT_ID, &st)
	if err != nil || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return nil
	}
	for _, m := range mounts {
		if m.ID == st.Mnt_id && m.Point != "/" {
			return &foundMount{m, st.Mode&unix.S_IFMT == unix.S_IFDIR}
		}
	}
	return nil
}

// below adds the mounts that came along with a tree of the host: mounts below place for which the
// host has one at the same place below source. It does not look below the container's root.
func below(mounts []sys.Mount, place, source, key string, keys map[string]string) {
	top, err := unix.Open(source, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(top)
	for _, m := range mounts {
		rest, is := strings.CutPrefix(m.Point, strings.TrimSuffix(place, "/")+"/")
		if !is || rest == "" || keys[m.Point] != "" {
			continue
		}
		fd, err := unix.Openat2(top, rest, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS})
		if err != nil {
			continue
		}
		var st unix.Statx_t
		err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, unix.STATX_MNT_ID, &st)
		unix.Close(fd)
		if err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 && fmt.Sprintf("%d:%d", st.Dev_major, st.Dev_minor) == m.Device {
			keys[m.Point] = path.Join(key, rest)
		}
	}
}
