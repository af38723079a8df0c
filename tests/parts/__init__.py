"""The real parts that tests run on: engines, brokers, subscribers, agents. Each ends what it started."""
