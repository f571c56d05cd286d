package libcontainer

import (
	"errors"
	"fmt"
	"os/exec"

	"davit/internal/checkpoint"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// CriuOptions are the options that [Container.Checkpoint] and [Runtime.Restore] share. criu(8) describes them in detail.
type CriuOptions struct {
	ImagePath      string // the path of the directory with the images; "": "checkpoint" in the working directory
	WorkPath       string // the path of the directory for logs and statistics; "": the directory of the images
	TCPEstablished bool   // save and restore open TCP connections
	TCPClose       bool   // restore TCP connections as closed ones
	ExtUnixSk      bool   // allow unix sockets that are connected to the outside
	ShellJob       bool   // allow processes whose session and terminal belong to a shell outside
	FileLocks      bool   // save and restore file locks
	CgroupsMode    string // what CRIU does with cgroups: ignore, none, props, soft, full or strict; "": soft
	EmptyNS        string // "network": restore that namespace empty, so that the caller can set it up; "": restore it as it was
	AutoDedup      bool   // free those parts of memory images that were read, or that a later dump has, too
	NetworkLock    string // how to hold back packets: iptables, nftables or skip; "": iptables if it is installed, otherwise nftables
	LazyPages      bool   // fetch memory from the page server when the process uses it
}

// cgroupMode returns the mode with that name. runc has only the first three.
func cgroupMode(name string) (mode rpc.CriuCgMode, ok bool) {
	switch name {
	case "soft":
		return rpc.CriuCgMode_SOFT, true
	case "full":
		return rpc.CriuCgMode_FULL, true
	case "strict":
		return rpc.CriuCgMode_STRICT, true
	case "ignore":
		return rpc.CriuCgMode_IGNORE, true
	case "none":
		return rpc.CriuCgMode_CG_NONE, true
	case "props":
		return rpc.CriuCgMode_PROPS, true
	}
	return 0, false
}

// request returns the options for CRIU that checkpoint and restore share.
func (o *CriuOptions) request(i *checkpoint.Images, log string) (*rpc.CriuOpts, error) {
	r := &rpc.CriuOpts{
		ImagesDirFd: new(int32(i.Dir)), WorkDirFd: new(int32(i.Work)), LogLevel: new(int32(4)), LogFile: new(log),
		ManageCgroups: new(true), OrphanPtsMaster: new(true),
		TcpEstablished: new(o.TCPEstablished), TcpClose: new(o.TCPClose), ExtUnixSk: new(o.ExtUnixSk),
		ShellJob: new(o.ShellJob), FileLocks: new(o.FileLocks), AutoDedup: new(o.AutoDedup), LazyPages: new(o.LazyPages),
	}
	if o.CgroupsMode != "" {
		mode, ok := cgroupMode(o.CgroupsMode)
		if !ok {
			return nil, fmt.Errorf("option CgroupsMode: %q: one of soft, full, strict, ignore, none, props", o.CgroupsMode)
		}
		r.ManageCgroupsMode = &mode
	}
	if err := o.lockNetwork(r); err != nil {
		return nil, err
	}
	switch o.EmptyNS {
	case "":
	case "network":
		r.EmptyNs = new(uint32(unix.CLONE_NEWNET))
	default:
		return nil, fmt.Errorf("option EmptyNS: %q: only network can be left empty", o.EmptyNS)
	}
	return r, nil
}

// lockNetwork says how packets are held back while the processes are stopped.
func (o *CriuOptions) lockNetwork(r *rpc.CriuOpts) error {
	switch o.NetworkLock {
	case "":
		// CRIU's default is iptables, whether that is there or not.
		if _, err := exec.LookPath("iptables-restore"); err != nil {
			r.NetworkLock = new(rpc.CriuNetworkLockMethod_NFTABLES)
		}
	case "iptables":
		if _, err := exec.LookPath("iptables-restore"); err != nil {
			return withHint(errors.New("option NetworkLock: iptables: iptables-restore is not in PATH"), "install iptables, or use nftables or skip")
		}
		r.NetworkLock = new(rpc.CriuNetworkLockMethod_IPTABLES)
	case "nftables":
		r.NetworkLock = new(rpc.CriuNetworkLockMethod_NFTABLES)
	case "skip":
		r.NetworkLock = new(rpc.CriuNetworkLockMethod_SKIP)
	default:
		return fmt.Errorf("option NetworkLock: %q: one of iptables, nftables, skip", o.NetworkLock)
	}
	return nil
}
