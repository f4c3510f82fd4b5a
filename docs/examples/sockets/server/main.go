// Command server answers every line in capital letters, on port 7000 of this
// host or the port it is given.
package main

import (
	"bufio"
	"context"
	"log"
	"net"
	"os"
	"strings"

	"kith.alt/kith/client"
)

func main() {
	port := "7000"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	welcome, err := client.Listen(context.Background(), ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("The server is ready to receive at %s", welcome.Addr())
	for {
		conn, err := welcome.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn)
	}
}

func serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if _, err := conn.Write([]byte(strings.ToUpper(lines.Text()) + "\n")); err != nil {
			return
		}
	}
}
