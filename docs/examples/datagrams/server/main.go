// Command server answers every datagram in capital letters, on port 7000 of
// this host or the port it is given.
package main

import (
	"bytes"
	"context"
	"log"
	"os"

	"kith.alt/kith/client"
)

func main() {
	port := "7000"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	socket, err := client.ListenPacket(context.Background(), ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("The server is ready to receive at %s", socket.LocalAddr())
	message := make([]byte, 8192)
	for {
		n, sender, err := socket.ReadFrom(message)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := socket.WriteTo(bytes.ToUpper(message[:n]), sender); err != nil {
			log.Print(err)
		}
	}
}
