// Command web measures a member's site as a browser on another member's
// computer gets it, beside what the same way costs without kith, and prints one
// Markdown table. The load comes from wrk.
//
//	the gateway:  wrk -TCP- node (gateway) -TLS- node (kith publish)
//	bare proxy:   wrk -TCP- httputil.ReverseProxy -TLS 1.3 or plain TCP- http.FileServer
//	nginx:        wrk -TCP- nginx, on the directory itself
//
// The nodes, the bare proxy and the bare file server are processes of their
// own. Between the latter two HTTP/1.1 runs on a pool of kept connections, as
// it does between nodes, whose connections are streams of one TLS connection.
// Nginx is shown where it is installed, as the end of the scale.
//
//	go run ./bench/web [-rounds 5] [-time 2s] [-connections 16] [-only NAME] [-profile DIR]
//
// The figures are medians of the rounds, and so is the share of the bare
// proxy's in the same round; in each round all take their turn, so that a noisy
// machine disturbs them alike. wrk and all servers share it.
package main
