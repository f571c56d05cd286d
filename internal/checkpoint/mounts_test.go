package checkpoint

import (
	"testing"

	"davit/internal/plan"

	"golang.org/x/sys/unix"
)

// davit identifies by its path what the container has of the host, however the stage gets it.
func TestExternalMountsOf(t *testing.T) {
	var p plan.Plan
	own := func() plan.FD { return p.Open(plan.Descriptor{Kind: plan.Own}) }
	direct, space, dir, file, mapped := own(), own(), own(), own(), own()
	link := p.Open(plan.Descriptor{Kind: plan.Path, Path: "/host/link", Link: true})
	tree := p.Open(plan.Descriptor{Kind: plan.TreeRecursive, Path: "/host/mapped", Maps: "0 1 1\n\x000 1 1\n"})
	mappedSpace := own()
	p.Add("mounts[0].source", plan.Source{Tree: direct, Path: "/host/direct", Recursive: true})
	p.Add("mounts[1].source", plan.Gather{Tree: space, Path: "/host"})
	p.Add("mounts[3].source", plan.Gather{Tree: mappedSpace, From: tree, Path: "/host/mapped"})
	p.Add("mounts[1].source", plan.Copy{Tree: dir, From: space, Path: "/", Source: "/host", Recursive: true})
	p.Add("mounts[2].source", plan.Copy{Tree: file, From: space, Path: "/link", Source: "/host/link", Same: link, Set: unix.MOUNT_ATTR_RDONLY})
	p.Add("mounts[3].source", plan.Copy{Tree: mapped, From: mappedSpace, Path: "/", Source: "/host/mapped", Recursive: true})
	for i, fd := range []plan.FD{direct, dir, file, mapped} {
		p.Add("mounts[0]", plan.Bind{Tree: fd, Target: string(rune('a' + i)), Set: unix.MOUNT_ATTR_NOSUID})
	}
	keep, late := own(), own()
	p.Add("mounts[4].source", plan.Source{Tree: late, Path: "/host/late"})
	p.Add("mounts[4]", plan.Bind{Tree: late, Keep: keep, Target: "/late"})
	p.Add("mounts[5]", plan.Bind{Source: "/host/waits", Target: "/waits", How: plan.BindRecursive | plan.BindLate})
	p.Add("mounts[4]", plan.Remount{Tree: keep, Target: "/late", Set: unix.MOUNT_ATTR_RDONLY})
	p.Add("mounts[6]", plan.Remount{Target: "/waits", Set: unix.MOUNT_ATTR_NOEXEC})
	p.Add("mounts[7]", plan.Remount{Target: "/other", Set: unix.MOUNT_ATTR_NODEV})
	list := externalMountsOf(&p)
	for i, want := range []struct {
		path   string
		kind   plan.Kind
		set    uint64
		link   bool
		mapped bool
	}{
		{"/host/direct", plan.TreeRecursive, unix.MOUNT_ATTR_NOSUID, false, false},
		{"/host", plan.TreeRecursive, unix.MOUNT_ATTR_NOSUID, false, false},
		{"/host/link", plan.Tree, unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_RDONLY, true, false},
		{"/host/mapped", plan.TreeRecursive, unix.MOUNT_ATTR_NOSUID, false, true},
		{"/host/late", plan.Tree, unix.MOUNT_ATTR_RDONLY, false, false},
		{"/host/waits", plan.TreeRecursive, unix.MOUNT_ATTR_NOEXEC, false, false},
	} {
		if i >= len(list) {
			t.Fatalf("%d mounts", len(list))
		}
		m := list[i]
		if m.source.Path != want.path || m.source.Kind != want.kind || m.set != want.set || m.source.Link != want.link || m.source.Mapped() != want.mapped {
			t.Errorf("%d: %+v, not %+v", i, m, want)
		}
	}
}
