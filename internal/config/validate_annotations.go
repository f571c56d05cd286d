package config

import (
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strings"

	"davit/internal/jsonx"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The annotations that davit gives the meaning of crun (crun(1), "Extensions to OCI") or of runc.
const (
	AnnotationHooksStdout    = "run.oci.hooks.stdout"                 // file to which the hooks' output is appended
	AnnotationHooksStderr    = "run.oci.hooks.stderr"                 // the same for their standard error
	AnnotationKeepGroups     = "run.oci.keep_original_groups"         // "0" is no, anything else is yes
	AnnotationBPF            = "run.oci.seccomp_bpf_data"             // base64 of a filter, in place of linux.seccomp
	AnnotationUnknownSyscall = "run.oci.seccomp_fail_unknown_syscall" // "0" is no, anything else is yes
	AnnotationReceiver       = "run.oci.seccomp.receiver"             // path of a socket, where listenerPath is not set
	AnnotationPidfd          = "run.oci.pidfd_receiver"               // path of a socket that gets the process's pidfd
	AnnotationContextType    = "run.oci.mount_context_type"           // name of the mount option that linux.mountLabel becomes
	AnnotationSubgroup       = "run.oci.systemd.subgroup"             // systemd's driver: a cgroup in the scope, for the processes
	AnnotationDelegate       = "run.oci.delegate-cgroup"              // a cgroup below the container's, for the processes
	AnnotationCgroup1        = "run.oci.systemd.force_cgroup_v1"      // a mount's destination, which shows the hierarchy name=systemd
	AnnotationCRIU           = "org.criu.config"                      // runc's, too: CRIU's configuration file, which may name programs to run
	annotationPlugins        = "run.oci.seccomp.plugins"
	annotationHandler        = "run.oci.handler"
)

// Annotations returns the names of the annotations, and the beginnings of names, that change what
// davit does with a config: features.md, "Unsafe annotations in config.json".
func Annotations() []string {
	return []string{"org.systemd.property.", AnnotationHooksStderr, AnnotationHooksStdout, AnnotationKeepGroups,
		AnnotationContextType, AnnotationPidfd, AnnotationReceiver, AnnotationBPF, AnnotationUnknownSyscall,
		AnnotationSubgroup, AnnotationDelegate, AnnotationCgroup1, AnnotationCRIU}
}

// AnnotationSet reports whether an annotation that is a switch is on: it is set, and not to "0".
func AnnotationSet(s *specs.Spec, name string) bool {
	v, ok := s.Annotations[name]
	return ok && v != "0"
}

// maxInstructions is the length of the longest filter that the kernel loads (BPF_MAXINSNS).
const maxInstructions = 4096

// RawFilter decodes the value of AnnotationBPF: an array of struct sock_filter, 8 bytes each, 1 to
// 4096 of them, in the machine's byte order.
func RawFilter(text string) ([]byte, error) {
	program, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("is not base64: %w", err)
	}
	if n := len(program); n == 0 || n%8 != 0 || n > 8*maxInstructions {
		return nil, fmt.Errorf("%d bytes are not a filter: that has 1 to %d instructions of 8 bytes", n, maxInstructions)
	}
	return program, nil
}

// annotations checks the annotations that davit knows. One that davit cannot honour is an error.
func (c *checker) annotations(s *specs.Spec) {
	for key, value := range s.Annotations {
		field := jsonx.JoinKey("annotations", key)
		switch key {
		case "":
			c.problem(field, "an annotation must have a name")
		case AnnotationHooksStdout, AnnotationHooksStderr, AnnotationPidfd:
			if value == "" || strings.IndexByte(value, 0) >= 0 {
				c.problem(field, "%q is not a path", value)
			}
		case AnnotationReceiver:
			if !strings.HasPrefix(value, "/") || strings.IndexByte(value, 0) >= 0 {
				c.problem(field, "%q is not an absolute path", value)
			}
		case AnnotationBPF:
			if _, err := RawFilter(value); err != nil {
				c.problem(field, "%s", err)
			}
		case AnnotationContextType:
			if types := []string{"context", "fscontext", "defcontext", "rootcontext"}; !slices.Contains(types, value) {
				c.problem(field, "%q: one of %s", value, strings.Join(types, ", "))
			}
		case AnnotationSubgroup, AnnotationDelegate:
			if slices.Contains(strings.Split(value, "/"), "..") || strings.IndexByte(value, 0) >= 0 {
				c.problem(field, "%q is not a path below the container's cgroup", value)
			}
		case AnnotationCgroup1:
			if !slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool {
				return (m.Type == "cgroup" || m.Type == "cgroup2") && path.Clean(m.Destination) == path.Clean(value)
			}) {
				c.problem(field, "%q is not the destination of a mount of type cgroup", value)
			}
		default:
			c.refusedAnnotation(field, key, value, s)
		}
	}
}

// refusedAnnotation adds a problem if davit knows the annotation and cannot honour it.
func (c *checker) refusedAnnotation(field, key, value string, s *specs.Spec) {
	switch {
	case key == annotationHandler && s.Annotations["io.kubernetes.cri.container-type"] != "sandbox": // crun ignores it for a pod's sandbox
		c.problem(field, "%q: davit runs programs for Linux in namespaces of this kernel, and nothing else", value)
		switch value {
		case "krun":
			c.hint("use crun with libkrun, or Kata Containers, for a container in a virtual machine")
		case "wasm":
			c.hint("use crun with a WebAssembly engine, or containerd's runwasi, for WebAssembly")
		default:
			c.hint("remove the annotation, or use the runtime that has this handler")
		}
	case key == annotationPlugins:
		c.problem(field, "davit loads no plugins")
		c.hint("have a program listen on the socket linux.seccomp.listenerPath or %s", AnnotationReceiver)
	}
}
