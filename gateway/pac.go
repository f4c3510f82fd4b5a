package gateway

import (
	"fmt"
	"net/http"
)

// pacPath is where both listeners serve the proxy auto-configuration.
const pacPath = "/proxy.pac"

// servePAC answers with the proxy auto-configuration: names below kith.alt
// come to the proxy and never to a name server. Browsers that do not resolve
// *.localhost by themselves (Safari) are led to the web gateway, which takes
// absolute-form requests for its own origins.
func (g *Gateway) servePAC(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The configuration can only be read.", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/x-ns-proxy-autoconfig")
	w.Header().Set("Cache-Control", "no-cache")
	fmt.Fprintf(w, `function FindProxyForURL(url, host) {
  if (shExpMatch(host.toLowerCase(), "*.kith.alt")) return "PROXY 127.0.0.1:%[1]d; SOCKS5 127.0.0.1:%[1]d";
  if (shExpMatch(url.toLowerCase(), "http://*.localhost:%[2]d/*")) return "PROXY 127.0.0.1:%[2]d";
  return "DIRECT";
}
`, g.config.ProxyPort(), g.config.HTTPPort())
}
