#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "benchmarks/contender.hpp"
#include "benchmarks/turns.hpp"

namespace bench {

/// rnn, lstm, gru, gru-reset-after, mgu, as on the command line.
const std::vector<std::pair<std::string, Cell>>& cell_names();
std::string name_of(Cell cell);
/// "B,T,D,H"
std::string text_of(const Size& size);

/// Random numbers, the same for the same cell and size.
template <class T>
Problem<T> make_problem(Cell cell, const Size& size);

/// The hand-written code and xtape.
template <class T>
Contenders<T> own_contenders(const Problem<T>& problem);
/// Everyone who is there.
template <class T>
Contenders<T> all_contenders(const Problem<T>& problem);

/// Runs every contender once and compares all results with the first one's. Nothing is timed that isn't right.
template <class T>
bool agree(const Contenders<T>& contenders);

/// What time_in_turns calls.
template <class T>
std::vector<Work> runs(const Contenders<T>& contenders);

/// Multiplications and additions of all products, forward and backward.
double operations(Cell cell, const Size& size);

}  // namespace bench
