// Command client sends a line to an upper-casing server and prints the answer:
// client HOST:PORT.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"

	"kith.alt/kith/client"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: client HOST:PORT")
	}
	conn, err := client.Dial(context.Background(), os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	fmt.Print("Input lowercase sentence: ")
	sentence, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	if _, err := conn.Write([]byte(sentence)); err != nil {
		log.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print("From Server: ", answer)
}
