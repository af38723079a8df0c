"""Coverage-guided fuzzing of everything that an engine or a broker may send; found cases are kept in corpus/."""
