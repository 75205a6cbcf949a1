#include "benchmarks/contender.hpp"
#include "benchmarks/handwritten_gru.hpp"
#include "benchmarks/handwritten_lstm.hpp"
#include "benchmarks/handwritten_mgu.hpp"
#include "benchmarks/handwritten_rnn.hpp"

namespace bench {

template <class T>
Contenders<T> handwritten_contenders(const Problem<T>& problem) {
    Contenders<T> result;
    switch (problem.cell) {
        case Cell::rnn: result.push_back(std::make_unique<HandwrittenRnn<T>>(problem)); break;
        case Cell::lstm: result.push_back(std::make_unique<HandwrittenLstm<T>>(problem)); break;
        case Cell::gru: result.push_back(std::make_unique<HandwrittenGruOriginal<T>>(problem)); break;
        case Cell::gru_reset_after:
            result.push_back(std::make_unique<HandwrittenGruResetAfter<T>>(problem));
            break;
        case Cell::mgu: result.push_back(std::make_unique<HandwrittenMgu<T>>(problem)); break;
    }
    return result;
}

template Contenders<float> handwritten_contenders(const Problem<float>&);
template Contenders<double> handwritten_contenders(const Problem<double>&);

}  // namespace bench
