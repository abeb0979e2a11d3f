"""What the tests are made from: stores that are written without training, servers, and programs that are watched."""
