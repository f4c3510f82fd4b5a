package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// curl takes the file from nginx, which is one process.
var curl = client{
	name:  "curl from nginx",
	lacks: programs("curl", "nginx"),
	share: func(s *swarm) {
		h := s.seed()
		config, user, address := filepath.Join(h.dir, "nginx.conf"), "", h.address+":8080"
		if os.Geteuid() == 0 { // it would drop root's rights, and could not read the file
			user = "user root;"
		}
		if err := os.WriteFile(config, fmt.Appendf(nil, `%s daemon off; master_process off; pid %s/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on;
client_body_temp_path %[2]s/t1; proxy_temp_path %[2]s/t2; fastcgi_temp_path %[2]s/t3; uwsgi_temp_path %[2]s/t4; scgi_temp_path %[2]s/t5;
server { listen %[3]s; root %[4]s; } }
`, user, h.dir, address, filepath.Dir(s.file)), 0o600); err != nil {
			s.t.Fatal(err)
		}
		h.start("nginx", "-c", config, "-p", h.dir)
		s.link = "http://" + address + "/" + filepath.Base(s.file)
		h.eventually("nginx does not answer", func() bool { return h.On(exec.Command("curl", "-sfI", s.link)).Run() == nil })
	},
	prepare: func(*host) {},
	take: func(h *host) func() bool {
		p := h.start("curl", "-sf", "-o", h.out(), h.swarm.link)
		return func() bool { return h.ended(p) }
	},
}
