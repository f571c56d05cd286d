// Api implements the part of the Kubernetes API that a kubelet and a kube-proxy need to find
// objects. It lists, gets and watches the objects of a file, which never changes. It acknowledges
// every write, and stores nothing.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path"
	"strings"
)

const usage = `usage: api ADDRESS OBJECTS.json
  OBJECTS.json   {"/apis/node.k8s.io/v1/runtimeclasses": [OBJECT...], ...}
`

type object = map[string]any

// version is the resource version of every object and list, because nothing changes.
const version = "1"

type server map[string][]object

func main() {
	if len(os.Args) != 3 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	data, err := os.ReadFile(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	var s server
	if err := json.Unmarshal(data, &s); err != nil {
		log.Fatalf("%s: %v", os.Args[2], err)
	}
	log.Fatal(http.ListenAndServe(os.Args[1], s))
}

func (s server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	log.Println(r.Method, r.URL)
	query := r.URL.Query()
	collection, name := path.Dir(r.URL.Path), path.Base(r.URL.Path)
	switch {
	case r.URL.Path == "/healthz":
		fmt.Fprintln(w, "ok")
	case r.Method != http.MethodGet:
		acknowledge(w, r)
	case query.Get("watch") == "true" || query.Get("watch") == "1":
		watch(w, r)
	case s[collection] != nil:
		s.get(w, collection, name)
	case isCollection(r.URL.Path):
		items := s[r.URL.Path]
		if items == nil {
			items = []object{}
		}
		list := object{"metadata": object{"resourceVersion": version}, "items": items}
		if r.URL.Path == "/api/v1/pods" { // the kubelet checks the kind of this list only
			list["kind"], list["apiVersion"] = "PodList", "v1"
		}
		reply(w, http.StatusOK, list)
	default:
		notFound(w, name)
	}
}

// isCollection reports whether p is /api/v1/RESOURCE, /apis/GROUP/VERSION/RESOURCE, or the same
// with /namespaces/NAME before RESOURCE.
func isCollection(p string) bool {
	parts := strings.Split(strings.Trim(p, "/"), "/")
	least := 3
	if parts[0] == "apis" {
		least = 4
	}
	return len(parts) == least || len(parts) == least+2 && parts[least-1] == "namespaces"
}

func (s server) get(w http.ResponseWriter, collection, name string) {
	for _, o := range s[collection] {
		if m, _ := o["metadata"].(object); m["name"] == name {
			reply(w, http.StatusOK, o)
			return
		}
	}
	notFound(w, name)
}

// watch sends nothing until the client closes the connection, because nothing changes.
func watch(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// acknowledge answers a write with the object that was written.
func acknowledge(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	if r.Method == http.MethodPost {
		status = http.StatusCreated
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.Copy(w, r.Body)
}

func notFound(w http.ResponseWriter, name string) {
	reply(w, http.StatusNotFound, object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound, "message": name + " not found"})
}

func reply(w http.ResponseWriter, status int, body object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}
